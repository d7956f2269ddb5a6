"""New critical findings and failed payments are announced until they were seen."""

from typing import Any

from playwright.sync_api import Route

from tests.browser.conftest import Open, Visit
from tests.browser.test_quality import axe_violations
from tests.factories import deposit, file_vulnerability
from tests.support.stack import Stack

REASON = "The account is closed. " * 60
LOOK_AWAY = "Object.defineProperty(document, 'hasFocus', {value: () => window.isLooking ?? false})"
LOOK = "window.isLooking = true; document.dispatchEvent(new Event('visibilitychange'))"
ICON = "document.querySelector('link[rel=icon]').getAttribute('href')"
RECORD_NOTIFICATIONS = """() => {
  window.shown = [];
  window.Notification = class {
    static permission = "default";
    static async requestPermission() {
      return (this.permission = "granted");
    }
    constructor(title, options) {
      window.shown.push(options.body);
    }
  };
}"""


def test_a_critical_finding_is_announced_until_the_page_was_looked_at(
    stack: Stack, protocol_id: str, visit: Open
) -> None:
    page = visit(stack, "viewer", protocol_id)
    page.page.evaluate(LOOK_AWAY)
    page.page.evaluate(RECORD_NOTIFICATIONS)
    page.page.click("[aria-label='Notifications: off. Change']")
    page.page.wait_for_selector("[aria-label='Notifications: on. Change']")
    file_vulnerability(stack.api, protocol_id, title="Anyone can withdraw", severity="CRITICAL")
    page.see(".notice", "New critical finding: Anyone can withdraw")
    page.see("#feed", "Anyone can withdraw")
    page.page.wait_for_function("() => document.title.startsWith('(1) ')")
    assert page.page.evaluate(ICON) == "/static/mark-alert.svg"
    assert page.page.evaluate("window.shown") == ["New critical finding: Anyone can withdraw"]
    page.page.click(".notice >> text=Open")
    page.see(".side-panel h2", "Anyone can withdraw")
    page.page.evaluate(LOOK)
    page.page.wait_for_function("() => !document.title.startsWith('(')")
    assert page.page.evaluate(ICON) == "/static/mark.svg"
    assert page.problems == []


def fail_payments(visit: Visit, found: list[dict[str, Any]]) -> None:
    """Answer `/state` as if the payments of these vulnerabilities had failed."""

    def answer(route: Route) -> None:
        state = route.fetch().json()
        for number, each in enumerate(found):
            payment = {
                "id": f"Y{number}",
                "vulnerabilityId": each["id"],
                "protocolId": each["protocolId"],
                "amount": each["bounty"],
                "currency": "USDC",
                "recipient": "0xfeed",
                "status": "FAILED",
                "failureReason": REASON,
                "lastError": None,
                "attempts": "3",
                "version": "4",
                "createdAt": each["createdAt"],
                "releasedAt": None,
            }
            state["payments"].append(payment)
            for row in state["vulnerabilities"]["open"]:
                if row["id"] == each["id"]:
                    row.update(paymentId=payment["id"], version="99")
        route.fulfill(json=state)

    visit.page.route("**/state?*", answer)
    visit.page.reload()
    visit.wait_until_live()


def test_a_failed_payment_can_be_found_and_its_reason_does_not_fill_the_panel(
    stack: Stack, protocol_id: str, visit: Open
) -> None:
    deposit(stack.api, protocol_id, "100.00")
    found = [file_vulnerability(stack.api, protocol_id, title=f"Paid {n}", bounty="1.00") for n in range(2)]
    for each in found:
        stack.api.validator.post(f"/vulnerabilities/{each['id']}/confirm", {}).expect(200)
    page = visit(stack, "owner", protocol_id)
    fail_payments(page, found[:1])
    row = page.page.locator(f"[data-finding='{found[0]['id']}']")
    page.see(f"[data-finding='{found[0]['id']}'] .state-FAILED", "payment failed")
    assert row.get_by_role("button", name="Retry").is_visible()
    page.page.select_option("[aria-label=Status]", "FAILED")
    page.page.wait_for_selector(f"[data-finding='{found[1]['id']}']", state="detached")
    page.see("[aria-label=Status]", "Payment failed (1)")
    page.see("#payments", "after 3 attempts")
    page.see("#feed", "Payment failed")
    for reason in ("#payments .clamped", "#feed .feed-words"):
        box = page.page.locator(reason, has_text="The account is closed").first.bounding_box()
        assert box
        assert box["height"] < 80
    assert REASON.strip() in page.page.locator("#payments .clamped").first.text_content()
    assert axe_violations(page) == []
