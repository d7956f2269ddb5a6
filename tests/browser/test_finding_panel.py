"""Findings are read in full and decided, and payments made and repaired, in the panel at the side."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.browser.conftest import LIVE_SECONDS, NARROW, Open, Visit
from tests.browser.test_quality import axe_violations
from tests.factories import deposit, file_vulnerability, make_protocol
from tests.support.machine_speed import patience
from tests.support.money import SECRET, PayoutService, Reply, Request, payout_service
from tests.support.stack import Stack, StackMaker

REFUSED = "0xbad08400098527886E0F7030069857D2E4169EE7"
GOOD = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
DESCRIPTION = """An **external call** comes first, see [the report](https://audits.example/42).

```solidity
vault.withdraw(1 ether);
```

<img src=x onerror="document.title='run'"> and [a trap](javascript:alert(1)).

- one
- the last words
"""


@pytest.fixture(scope="module")
def payouts() -> Iterator[PayoutService]:
    def refuse(request: Request) -> Reply | None:
        return Reply(status=422, body=b"on a sanctions list") if request.json["recipient"] == REFUSED else None

    with payout_service() as service:
        service.choose = refuse
        yield service


@pytest.fixture(scope="module")
def paying(make_shared_stack: StackMaker, payouts: PayoutService) -> Stack:
    return make_shared_stack(PAYOUT_URL=payouts.url, PAYOUT_SECRET=SECRET)


@pytest.fixture
def room(paying: Stack) -> str:
    """A new protocol of that system."""
    protocol_id = make_protocol(paying.api)
    deposit(paying.api, protocol_id, "1000.00")
    return protocol_id


@dataclass
class Clicks:
    """A visit that counts its clicks."""

    visit: Visit
    count: int = 0

    def on(self, selector: str) -> None:
        self.visit.page.click(selector)
        self.count += 1


def button(name: str) -> str:
    return f".side-panel-foot button:text-is('{name}')"


def pay(system: Stack, protocol_id: str, recipient: str, **fields: str) -> dict[str, str]:
    """File, confirm and pay a finding; returns it."""
    found = file_vulnerability(system.api, protocol_id, bounty="10.00", **fields)
    system.api.validator.post(f"/vulnerabilities/{found['id']}/confirm", {}).expect(200)
    system.api.owner.post(f"/vulnerabilities/{found['id']}/payment", {"recipient": recipient}).expect(202)
    return found


def test_a_pending_finding_is_read_in_full_and_decided_in_three_clicks(paying: Stack, room: str, visit: Open) -> None:
    first = file_vulnerability(paying.api, room, title="Grave", severity="CRITICAL", description=DESCRIPTION)
    second = file_vulnerability(paying.api, room, title="Mild", severity="LOW")
    page = visit(paying, "validator", room)
    page.page.click(".views >> text=Queue 2")
    clicks = Clicks(page)
    clicks.on(f"[data-finding='{first['id']}'] .finding-title")
    page.see(".side-panel .markdown li", "the last words")
    page.see(".history li", "validator-1 filed it")
    link = page.page.locator(".markdown a")
    assert link.count() == 1
    assert link.get_attribute("rel") == "noopener noreferrer"
    assert "(audits.example)" in page.text(".markdown")
    assert "<img src=x" in page.text(".markdown")
    assert page.page.locator(".markdown img").count() == 0
    assert axe_violations(page) == []
    clicks.on(button("Confirm"))
    clicks.on("dialog [type=submit]")
    page.see(".side-panel h2", "Mild")
    assert clicks.count <= 3
    page.page.wait_for_selector(".side-panel:focus")
    page.see(".views", "Queue 1")
    page.page.keyboard.press("r")
    page.page.fill("#field-reason", "known")
    page.page.click("dialog [type=submit]")
    page.page.wait_for_selector(".side-panel", state="detached")
    page.see("#queue", "Nothing is waiting")
    assert paying.api.viewer.get(f"/vulnerabilities/{second['id']}").expect(200)["status"] == "REJECTED"
    assert page.problems == []


def test_a_failed_payment_is_explained_and_retried_to_another_recipient_in_four_clicks(
    paying: Stack, payouts: PayoutService, room: str, visit: Open
) -> None:
    found = pay(paying, room, REFUSED, title="Refused one")
    for _ in range(20):  # it is not among the latest payments any more
        pay(paying, room, GOOD)
    page = visit(paying, "owner", room)
    row = f"[data-finding='{found['id']}']"
    page.page.fill("[type=search]", found["id"])
    page.see(row, "payment failed")
    assert page.page.locator(f"{row} button").all_inner_texts() == ["Retry", "Cancel"]
    clicks = Clicks(page)
    clicks.on(f"{row} .finding-title")
    page.see(".panel-payment", "HTTP 422: on a sanctions list")
    page.see(".panel-payment", REFUSED)
    assert page.page.locator(button("Pay")).count() == 0
    clicks.on(button("Retry payment"))
    page.page.fill("#field-recipient", GOOD[:-1] + "e")
    page.see("#recipient-warning", "checksum is wrong")
    page.page.fill("#field-recipient", GOOD)
    page.page.wait_for_selector("#recipient-warning", state="detached")
    clicks.on("dialog [type=submit]")
    page.see(".review", f"You pay 10.00 USDC to {GOOD}")
    page.see(".review", "cannot be taken back")
    assert axe_violations(page) == []
    clicks.on("dialog [type=submit]")
    page.see(".panel-payment[data-status=RELEASED]", GOOD)
    page.see(".panel-payment", "tx-")
    page.see(".side-panel-title", "paid")
    page.see(".history li", "filed it with a bounty of 10.00 USDC")
    page.see(".history li", f"retried the payment of 10.00 USDC to {GOOD}")
    assert clicks.count <= 4
    assert [each.json["recipient"] for each in payouts.requests].count(REFUSED) == 1
    assert page.problems == []


def test_a_failed_payment_is_cancelled_from_its_row_and_paid_anew(paying: Stack, room: str, visit: Open) -> None:
    found = pay(paying, room, REFUSED, title="Cancelled one")
    page = visit(paying, "owner", room, viewport=NARROW)
    row = f"[data-finding='{found['id']}']"
    page.page.click(f"{row} button:text-is('Cancel')")
    page.see("dialog", "10.00 USDC go back to what is available")
    page.page.click("dialog [type=submit]")
    page.see(".notice", "10.00 USDC are available again")
    page.page.click(f"{row} button:text-is('Pay')")
    page.page.fill("#field-recipient", GOOD)
    page.page.fill("#field-amount", "7.5")
    page.page.locator("dialog [type=submit]").dblclick()
    page.see(".review", "You pay 7.50 USDC to")
    page.page.keyboard.press("Enter")
    assert page.page.locator(".review").count() == 1, "neither a double click nor Enter skips the review"
    page.page.click("dialog [type=submit]")
    page.see(row, "paid")
    page.page.click(f"{row} .finding-title")
    page.see(".history li", "cancelled the payment")
    assert axe_violations(page) == []
    assert page.problems == []


def test_a_panel_follows_events_without_moving_and_leads_through_the_list(
    paying: Stack, room: str, visit: Open
) -> None:
    lines = "\n\n".join(f"Paragraph {number}." for number in range(80))
    found = file_vulnerability(paying.api, room, title="Long", description=lines)
    newer = file_vulnerability(paying.api, room, title="Newer")
    page = visit(paying, "validator", room)
    page.page.click(f"[data-finding='{newer['id']}'] .finding-title")
    page.see(".side-panel-tools", "1 of 2")
    page.page.click("[aria-label='Next finding']")
    page.see(".markdown", "Paragraph 79.")
    page.page.focus(button("Reject"))
    page.page.evaluate("document.querySelector('.side-panel-content').scrollTo(0, 500)")
    top = "document.querySelector('.markdown p:nth-child(12)').getBoundingClientRect().top"
    before = page.page.evaluate(top)
    paying.api.validator.post(f"/vulnerabilities/{found['id']}/confirm", {}).expect(200)
    page.see(".side-panel-title", "confirmed")
    page.see(".history li", "confirmed it")
    page.page.wait_for_selector(button("Reject"), state="detached")
    assert page.page.evaluate(top) == pytest.approx(before, abs=2), "what is being read stays where it is"
    page.page.wait_for_function("document.activeElement.className === 'side-panel'")
    page.page.keyboard.press("Escape")
    page.page.wait_for_selector(".side-panel", state="detached")
    page.page.wait_for_function("document.activeElement.textContent.startsWith('Long')")  # the focus is on its row


def test_a_link_opens_a_finding_or_a_payment_and_says_what_is_wrong(paying: Stack, visit: Open) -> None:
    mine, other = make_protocol(paying.api, name="Mine"), make_protocol(paying.api, name="Other")
    deposit(paying.api, other, "50.00")
    elsewhere = pay(paying, other, GOOD, title="Of the other")
    page = visit(paying, "owner", mine, protocols=[mine, other])

    def open_link(query: str) -> None:
        page.page.goto(f"{paying.url}/?inspect&protocol={mine}&{query}")
        page.wait_until_live()

    for query, words in {
        "finding=01a216ce-unknown": "There is no finding 01a216ce-unknown",
        "payment=01a216ce-unknown": "There is no payment 01a216ce-unknown",
        "agent=nobody": "There is no agent",
    }.items():
        open_link(query)
        page.see(".side-panel", words)
    assert len(page.problems) == 3, "each unknown id is asked for once"
    open_link(f"finding={elsewhere['id']}")
    page.see(".side-panel", "belongs to another protocol, “Other”")
    page.page.click("text=Show it there")
    page.see(".side-panel h2", "Of the other")
    page.page.wait_for_function("(id) => dashboard.room.protocolId === id", arg=other)
    payment = paying.api.viewer.get(f"/vulnerabilities/{elsewhere['id']}").expect(200)["paymentId"]
    page.page.goto(f"{paying.url}/?inspect&protocol={other}&payment={payment}")
    page.see(".panel-payment", payment)
    page.see(".side-panel h2", "Of the other")


def test_keys_do_what_buttons_do_and_nothing_while_typing(paying: Stack, room: str, visit: Open) -> None:
    for number in range(3):
        file_vulnerability(paying.api, room, title=f"Finding {number}")
    page = visit(paying, "validator", room)
    keys = page.page.keyboard
    page.see("#findings", "Finding 0")
    keys.press("j")
    keys.press("j")
    keys.press("k")
    keys.press("j")
    keys.press("Enter")
    page.see(".side-panel h2", "Finding 1")
    keys.press("j")
    page.see(".side-panel h2", "Finding 0")
    keys.press("c")
    page.see("dialog h2", "Confirm this vulnerability?")
    page.page.wait_for_selector("#field-bounty:focus")
    keys.type("jk?/cr")
    assert page.page.input_value("#field-bounty") == "jk?/cr"
    keys.press("Escape")
    page.page.wait_for_selector("dialog", state="detached")
    keys.press("/")
    page.page.wait_for_selector("[type=search]:focus")
    keys.type("2r?")
    assert page.page.input_value("[type=search]") == "2r?"
    keys.press("Control+k")
    page.page.wait_for_selector(".palette[open]", timeout=patience(LIVE_SECONDS) * 1000)
    keys.type("finding 2")
    page.see(".palette [aria-selected=true]", "Finding 2")
    assert axe_violations(page) == []
    keys.press("Enter")
    page.see(".side-panel h2", "Finding 2")
    page.page.click(".views >> text=Queue")
    page.page.wait_for_selector("#queue [data-finding]")
    keys.press("/")
    page.page.wait_for_selector(".palette[open]")  # the queue has no search of its own
    keys.type("finding 2")
    page.see(".palette [aria-selected=true]", "Finding 2")
    keys.press("Enter")
    page.see(".side-panel h2", "Finding 2")
    keys.press("?")
    page.see("dialog", "Keyboard")
    assert axe_violations(page) == []
    page.page.uncheck("dialog [type=checkbox]")
    keys.press("Escape")
    page.page.wait_for_selector("dialog", state="detached")
    keys.press("r")
    keys.press("?")
    assert page.page.locator("dialog").count() == 0
    keys.press("Escape")
    page.page.wait_for_selector(".side-panel", state="detached")
    assert page.problems == []


def test_after_a_cancellation_the_bounty_is_paid_anew(paying: Stack, room: str, visit: Open) -> None:
    found = pay(paying, room, REFUSED, title="Paid anew")
    page = visit(paying, "owner", room)
    page.see(".finding-row", "payment failed")
    page.page.click(f"[data-finding='{found['id']}'] a")
    page.page.click(button("Cancel payment"))
    page.page.click("dialog [type=submit]")
    page.page.wait_for_selector("dialog", state="detached")
    page.page.click(button("Pay"))
    page.page.fill("#field-recipient", GOOD)
    page.page.click("dialog [type=submit]")
    page.page.click("dialog button:text-is('Pay')")
    page.see(".panel-payment", "paid")
