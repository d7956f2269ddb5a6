"""Owners and validators perform actions on the page and see the server's responses."""

import pytest
from playwright.sync_api import Request, Route

from tests.browser.conftest import Open, Visit
from tests.factories import deposit, file_vulnerability
from tests.support.stack import Stack


def fill(visit: Visit, **fields: str) -> None:
    for name, value in fields.items():
        visit.page.fill(f"#field-{name}", value)


def submit(visit: Visit) -> None:
    visit.page.click("dialog [type=submit]")


def test_an_owners_deposit_is_sent_once_however_often_it_is_clicked(
    stack: Stack, protocol_id: str, visit: Open
) -> None:
    owner = visit(stack, "owner", protocol_id)
    sent: list[Request] = []
    owner.listen("request", lambda request: sent.append(request) if request.method == "POST" else None)
    owner.page.click("text=Deposit >> nth=0")
    fill(owner, amount="0.100001", reference="grant")
    owner.page.evaluate("for (let i = 0; i < 3; i += 1) document.querySelector('dialog form').requestSubmit()")
    owner.see(".notice", "Deposited 0.100001 USDC")  # before what may come after the notice has gone
    owner.see("[data-field=available]", "0.100001")
    owner.page.wait_for_selector("dialog", state="detached")
    assert stack.api.viewer.get(f"/protocols/{protocol_id}/pool").expect(200)["total"] == "0.100001"
    assert len({request.headers["idempotency-key"] for request in sent}) == 1
    assert sent[0].post_data_json == {"amount": "0.100001", "reference": "grant"}


def test_an_invalid_amount_is_rejected_before_it_is_sent(stack: Stack, protocol_id: str, visit: Open) -> None:
    owner = visit(stack, "owner", protocol_id)
    owner.page.click("text=Deposit >> nth=0")
    for amount, fault in (("1,00", "plain number"), ("0", "more than zero"), ("0.0000001", "6 after")):
        fill(owner, amount=amount)
        submit(owner)
        owner.see("#amount-fault", fault)
        assert owner.page.get_attribute("#field-amount", "aria-invalid") == "true"


def test_a_validator_confirms_with_a_bounty_and_rejects_with_a_reason(
    stack: Stack, protocol_id: str, visit: Open
) -> None:
    deposit(stack.api, protocol_id, "100.00")
    good = file_vulnerability(stack.api, protocol_id, title="Good finding")
    poor = file_vulnerability(stack.api, protocol_id, title="Poor finding")
    validator = visit(stack, "validator", protocol_id)
    validator.page.click(f"[data-finding='{good['id']}'] >> text=Confirm")
    fill(validator, bounty="40")
    submit(validator)
    validator.see(f"[data-finding='{good['id']}']", "confirmed")
    validator.see(f"[data-finding='{good['id']}']", "40.00 USDC")
    validator.page.click(f"[data-finding='{poor['id']}'] >> text=Reject")
    submit(validator)
    validator.see("#reason-fault", "Say why")
    fill(validator, reason="Known since March")
    submit(validator)
    validator.see(f"[data-finding='{poor['id']}']", "Known since March")
    seen = stack.api.viewer.get(f"/vulnerabilities/{poor['id']}").expect(200)
    assert (seen["status"], seen["rejectionReason"]) == ("REJECTED", "Known since March")


def test_an_owner_pays_and_sees_the_payment_released(stack: Stack, protocol_id: str, visit: Open) -> None:
    deposit(stack.api, protocol_id, "1000.00")
    found = file_vulnerability(stack.api, protocol_id, title="Worth it", bounty="250.00")
    stack.api.validator.post(f"/vulnerabilities/{found['id']}/confirm", {}).expect(200)
    owner = visit(stack, "owner", protocol_id)
    owner.page.click(f"[data-finding='{found['id']}'] >> text=Pay")
    assert owner.page.input_value("#field-amount") == "250.00"
    fill(owner, recipient="0xfeed", amount="200")
    submit(owner)
    owner.see(".review", "0xfeed")
    submit(owner)
    owner.see("#payments", "paid")
    owner.see("#payments", "200.00 USDC")
    owner.see(f"[data-finding='{found['id']}']", "paid")
    owner.see("[data-field=available]", "800.00")
    assert owner.problems == []


def test_a_decision_made_by_another_user_is_shown_and_no_longer_offered(
    stack: Stack, protocol_id: str, visit: Open
) -> None:
    found = file_vulnerability(stack.api, protocol_id, title="Raced")
    validator = visit(stack, "validator", protocol_id)
    validator.page.click(f"[data-finding='{found['id']}'] >> text=Reject")
    fill(validator, reason="too late")
    answer = stack.api.validator.post(f"/vulnerabilities/{found['id']}/confirm", {})
    answer.expect(200)
    submit(validator)
    validator.see("dialog .fault", "Somebody confirmed it already.")
    assert validator.page.locator("dialog [type=submit]").count() == 0
    validator.page.click("dialog >> text=Close")
    validator.see(f"[data-finding='{found['id']}']", "confirmed")


def test_no_role_is_offered_actions_it_may_not_perform(stack: Stack, protocol_id: str, visit: Open) -> None:
    file_vulnerability(stack.api, protocol_id, title="Pending one")
    viewer, owner = (visit(stack, role, protocol_id) for role in ("viewer", "owner"))
    viewer.see("#findings", "Pending one")
    owner.see("#findings", "Pending one")
    assert viewer.page.locator("#findings .cell-actions button, #pool .panel-head button").count() == 0
    assert owner.page.locator("#findings .cell-actions button").count() == 0
    assert owner.page.locator("#pool .panel-head button").count() == 1


def test_a_deposit_can_be_made_with_the_keyboard_alone(stack: Stack, protocol_id: str, visit: Open) -> None:
    owner = visit(stack, "owner", protocol_id)
    keyboard = owner.page.keyboard
    for _ in range(12):
        keyboard.press("Tab")
        if owner.page.evaluate("document.activeElement.textContent") == "Deposit":
            break
    keyboard.press("Enter")
    owner.page.wait_for_selector("dialog[open]")
    keyboard.press("Escape")
    owner.page.wait_for_selector("dialog", state="detached")
    owner.page.wait_for_function("document.activeElement.textContent === 'Deposit'")
    keyboard.press("Enter")
    owner.page.wait_for_selector("#field-amount:focus")
    keyboard.type("12.5")
    keyboard.press("Enter")
    owner.see(".notice", "Deposited 12.50 USDC.")
    owner.see("[data-field=available]", "12.50")


def test_a_deposit_retried_after_a_lost_response_is_made_once(stack: Stack, protocol_id: str, visit: Open) -> None:
    owner = visit(stack, "owner", protocol_id)

    def lose_the_answer(route: Route) -> None:
        route.fetch()
        route.abort()

    owner.page.route("**/deposits", lose_the_answer, times=1)
    for words in ("it is done once however often", None):
        owner.page.click("text=Deposit >> nth=0")
        fill(owner, amount="50")
        submit(owner)
        if words:
            owner.see("dialog .fault", words)
            owner.page.keyboard.press("Escape")
            owner.page.wait_for_selector("dialog", state="detached")
    owner.see(".notice", "nothing was done twice. Deposited 50.00 USDC.")
    assert stack.api.viewer.get(f"/protocols/{protocol_id}/pool").expect(200)["total"] == "50.00"


def test_the_limit_in_an_open_dialog_follows_the_pool(stack: Stack, protocol_id: str, visit: Open) -> None:
    deposit(stack.api, protocol_id, "700.00")
    found = file_vulnerability(stack.api, protocol_id, title="Costly")
    validator = visit(stack, "validator", protocol_id)
    validator.page.click(f"[data-finding='{found['id']}'] >> text=Confirm")
    fill(validator, bounty="1000")
    submit(validator)
    validator.see("#bounty-fault", "700.00 at most")
    deposit(stack.api, protocol_id, "10000.00")
    validator.see("#bounty-hint", "10,700.00 USDC are available")
    validator.page.wait_for_selector("#bounty-fault", state="detached")
    submit(validator)
    validator.see(f"[data-finding='{found['id']}']", "1,000.00 USDC")


def test_a_failure_after_the_dialog_was_closed_is_still_shown(stack: Stack, protocol_id: str, visit: Open) -> None:
    owner = visit(stack, "owner", protocol_id)
    held: list[Route] = []
    owner.page.route("**/deposits", lambda route: held.append(route))  # noqa: PLW0108 - a bare append is no handler
    owner.page.click("text=Deposit >> nth=0")
    fill(owner, amount="5")
    submit(owner)
    owner.see("dialog", "Sending")
    owner.page.click("dialog >> text=Cancel")
    held[0].fulfill(status=503, json={"detail": "The database did not answer."})
    owner.see(".notice", "Deposit: The database did not answer.")


@pytest.mark.parametrize("role", ["validator", "admin"])
def test_keyboard_focus_stays_in_the_table_after_a_decision(
    stack: Stack, protocol_id: str, visit: Open, role: str
) -> None:
    found = file_vulnerability(stack.api, protocol_id, title="Decided")
    page = visit(stack, role, protocol_id)
    page.page.focus(f"[data-finding='{found['id']}'] >> text=Reject")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("dialog[open]")
    page.page.keyboard.press("Tab")
    submit(page)
    page.page.wait_for_selector("#field-reason:focus")
    page.page.keyboard.type("known")
    submit(page)
    page.see(f"[data-finding='{found['id']}']", "rejected")
    page.page.wait_for_selector("dialog", state="detached")
    page.page.wait_for_selector(".finding-scroll:focus")
