"""The owner's view of the money, and the portfolio of people with several protocols."""

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.conftest import LIVE_SECONDS, NARROW, Open, Visit
from tests.browser.test_quality import axe_violations
from tests.factories import deposit, file_vulnerability, make_protocol
from tests.support.machine_speed import patience
from tests.support.money import SECRET, PayoutService, Reply, payout_service
from tests.support.processes import until
from tests.support.stack import Stack, StackMaker

LAPTOP = {"width": 1366, "height": 650}
RECIPIENT = "0x5afe3c1b9d2e4f60718293a4b5c6d7e8f9012345"
REASON = "account closed"


@pytest.fixture(scope="module")
def service() -> Iterator[PayoutService]:
    with payout_service() as running:
        yield running


@pytest.fixture(scope="module")
def system(make_shared_stack: StackMaker, service: PayoutService) -> Stack:
    return make_shared_stack(PAYOUT_URL=service.url, PAYOUT_SECRET=SECRET)


@pytest.fixture
def funded(system: Stack) -> str:
    protocol_id = make_protocol(system.api, name="Funded")
    deposit(system.api, protocol_id, "1000000.00", reference="treasury")
    return protocol_id


def pay(system: Stack, protocol_id: str, title: str, bounty: str) -> str:
    """The id of the payment of a new finding, once it is released or failed."""
    found = file_vulnerability(system.api, protocol_id, title=title, bounty=bounty)["id"]
    system.api.validator.post(f"/vulnerabilities/{found}/confirm", {}).expect(200)
    payment = system.api.owner.post(f"/vulnerabilities/{found}/payment", {"recipient": RECIPIENT}).expect(202)["id"]
    is_settled = ("RELEASED", "FAILED")
    until(lambda: status_of(system, payment) in is_settled, patience(30), "the payment is settled", pause=0.1)
    return payment


def status_of(system: Stack, payment_id: str) -> str:
    return str(system.api.owner.get(f"/payments/{payment_id}").expect(200)["status"])


def open_money(visit: Open, system: Stack, protocol_id: str, **options: object) -> Visit:
    page = visit(system, "owner", protocol_id, **{"viewport": LAPTOP, **options})
    page.page.click(".views >> text=Money")
    page.page.wait_for_selector("#money")
    return page


def order(page: Visit) -> list[str]:
    return page.page.locator("[data-payment]").evaluate_all("rows => rows.map((each) => each.dataset.payment)")


def test_failed_payments_come_first_with_their_reason_and_change_in_place(
    system: Stack, funded: str, service: PayoutService, visit: Open
) -> None:
    service.replies = [Reply(status=422, body=REASON.encode())]
    failed = pay(system, funded, "Refused one", "250.00")
    paid = pay(system, funded, "Paid one", "1234.50")
    page = open_money(visit, system, funded)
    row = f"[data-payment='{failed}']"
    page.see(row, f"1 attempt: HTTP 422: {REASON}")
    page.see(f"[data-payment='{paid}']", "1,234.50 USDC")
    page.see(f"[data-payment='{paid}']", f"to {RECIPIENT} · reference tx-")
    assert order(page) == [failed, paid]
    page.see(".views", "Money 1")
    assert axe_violations(page) == []
    page.page.hover(f"[data-payment='{paid}']")
    system.api.owner.post(f"/payments/{failed}/retry", {}).expect(202)
    newest = pay(system, funded, "Newest one", "1.00")
    page.see(row, "paid")
    page.see(".news", "1 new")
    assert order(page) == [failed, paid], "no row moves under the pointer"
    page.page.click(".news")
    page.page.wait_for_selector(f"[data-payment='{newest}']")
    assert order(page) == [newest, paid, failed]
    page.page.click(f"{row} a")
    page.see(".side-panel h2", "Refused one")
    assert page.problems == []


def test_a_narrow_card_of_a_failed_payment_shows_the_whole_address(
    system: Stack, funded: str, service: PayoutService, visit: Open
) -> None:
    service.replies = [Reply(status=422, body=(REASON * 20).encode())]
    failed = pay(system, funded, "Refused one", "250.00")
    page = open_money(visit, system, funded, viewport={"width": 390, "height": 844})
    facts = page.page.locator(f"[data-payment='{failed}'] .cell-details > :last-child")
    facts.get_by_text(f"to {RECIPIENT}").wait_for()
    assert facts.evaluate("(each) => each.scrollWidth <= each.clientWidth"), "it is not cut"
    box, row = facts.bounding_box(), page.page.locator(f"[data-payment='{failed}']").bounding_box()
    assert box
    assert row
    assert box["y"] + box["height"] <= row["y"] + row["height"]


def test_filters_are_in_the_address_and_a_month_is_exported_with_three_clicks(
    system: Stack, funded: str, visit: Open, tmp_path: Path
) -> None:
    for number in range(3):
        deposit(system.api, funded, f"{number + 1}.000001", reference=f"=grant {number}")
    file_vulnerability(system.api, funded, title="Reserved one", bounty="7.00")
    page = visit(system, "owner", funded, viewport=LAPTOP)
    month = time.strftime("%B %Y", time.gmtime())
    page.page.click(".views >> text=Money")
    page.page.click("text=Export CSV")
    with page.page.expect_download(timeout=patience(LIVE_SECONDS) * 1000) as download:
        page.page.get_by_role("button", name=f"Ledger of {month}").click()
    assert download.value.suggested_filename == f"{funded}-pool-entries.csv"
    target = tmp_path / "entries.csv"
    download.value.save_as(target)
    rows = list(csv.DictReader(target.open(encoding="utf-8", newline="")))
    stored = system.api.owner.get(f"/protocols/{funded}/pool/entries").expect(200)["items"]
    assert [(row["id"], row["amount"]) for row in rows] == [(entry["id"], entry["amount"]) for entry in stored]
    page.see(".notice", "Saved")

    page.page.click("#money .segments >> text=Ledger")
    page.page.get_by_label("Change", exact=True).select_option("DEPOSIT")
    page.page.get_by_label("Period", exact=True).select_option(label=month)
    page.page.wait_for_url("**from=*")
    page.page.reload()
    page.wait_until_live()
    page.see("[data-entry]", "=grant 2")
    assert page.page.locator("[data-entry]").count() == 4
    address = parse_qs(urlsplit(page.page.url).query)
    assert (address["changeType"], address["from"]) == (["DEPOSIT"], [time.strftime("%Y-%m-01", time.gmtime())])
    refusal = {"status": 429, "json": {"detail": "Too many exports at a time.", "code": "TOO_MANY_EXPORTS"}}
    page.page.route("**/pool/entries?*", lambda route: route.fulfill(**refusal))
    page.page.click("text=Export CSV")
    page.page.click("text=The selection shown")
    page.see(".export [role=alert]", "Too many exports at a time.")


def test_the_reserved_amount_opens_the_findings_that_it_consists_of(system: Stack, funded: str, visit: Open) -> None:
    for amount in ("0.100000", "999.999999", "20.00"):
        file_vulnerability(system.api, funded, title=f"Worth {amount}", bounty=amount)
    page = visit(system, "viewer", funded, viewport=NARROW)
    page.page.click(".part-reserved a")
    page.see(".reserved-sum[data-equal=true]", "1,020.099999 USDC")
    assert axe_violations(page) == []
    file_vulnerability(system.api, funded, title="One more", bounty="0.000001")
    page.see(".reserved-sum[data-equal=true]", "1,020.10 USDC")
    page.page.click("[data-reserved] a >> text=One more")
    page.see(".side-panel h2", "One more")
    assert page.problems == []


def test_the_chart_tells_exact_amounts_to_pointer_and_keyboard(system: Stack, funded: str, visit: Open) -> None:
    deposit(system.api, funded, "0.123456")
    page = open_money(visit, system, funded, locale="de-DE")
    page.page.wait_for_selector(".chart canvas")
    page.see("[data-field=available]", "1.000.000,123456")
    chart = page.page.locator(".chart")
    chart.focus()
    page.page.keyboard.press("Home")
    page.see(".chart-values", "1.000.000,00")
    assert "1.000.000,00 USDC available" in str(chart.get_attribute("aria-valuetext"))
    page.page.keyboard.press("End")
    page.see(".chart-values", "1.000.000,123456")
    page.page.click(".chart-ranges >> text=Day")
    page.page.wait_for_function("() => new URLSearchParams(location.search).get('range') === 'day'")
    box = chart.bounding_box()
    assert box
    page.page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 20)
    page.page.wait_for_function("() => document.querySelector('.chart-values').textContent.includes('2')")
    page.page.click("text=Deposit >> nth=0")
    page.page.fill("#field-amount", "2.000.000,5")
    page.page.click("dialog [type=submit]")
    page.see("[data-field=available]", "3.000.000,623456")
    assert page.problems == []


def test_an_empty_pool_says_the_next_step_with_real_ids_at_every_width(system: Stack, visit: Open) -> None:
    empty = make_protocol(system.api, name="Empty")
    page = visit(system, "owner", empty, viewport={"width": 360, "height": 650})
    page.page.click(".views >> text=Money")
    page.see(".command", f"dashboard token --role owner --protocol {empty}")
    page.see(".command", f"{system.url}/api/v1/protocols/{empty}/deposits")
    for width in (360, 390, 1366):
        page.page.set_viewport_size({"width": width, "height": 650})
        page.page.wait_for_function("(width) => document.documentElement.scrollWidth <= width", arg=width)
        assert axe_violations(page) == []


def test_people_with_several_protocols_see_which_needs_them_live(
    system: Stack, funded: str, service: PayoutService, visit: Open
) -> None:
    calm, needy = make_protocol(system.api, name="A calm one"), make_protocol(system.api, name="Needs somebody")
    file_vulnerability(system.api, needy, title="Grave", severity="CRITICAL")
    page = visit(system, "owner", funded, protocols=[calm, needy, funded], viewport=LAPTOP)
    page.page.goto(f"{system.url}/?inspect")
    page.see(f"[data-protocol='{needy}']", "1 open critical")
    cards = page.page.locator("[data-protocol]")
    assert cards.first.get_attribute("data-protocol") == needy
    page.wait_until_live()
    assert axe_violations(page) == []
    service.replies = [Reply(status=422, body=REASON.encode())]
    pay(system, funded, "Refused", "5.00")
    page.see(f"[data-protocol='{funded}']", "1 failed payment")
    assert cards.first.get_attribute("data-protocol") == funded
    page.page.click(f"[data-protocol='{funded}'] >> text=1 failed payment")
    page.see("[data-payment]", REASON)
    page.page.go_back()
    page.page.click(f"[data-protocol='{needy}'] h3 a")
    page.see(".finding-title", "Grave")
    page.page.go_back()
    page.see(f"[data-protocol='{calm}']", "Nothing waits")
    assert page.problems == []
