"""Signing in, signing out and being signed out."""

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Route, WebSocket

from tests.browser.conftest import Open, Visit
from tests.factories import deposit, file_vulnerability, make_protocol
from tests.support.processes import until
from tests.support.stack import Stack, StackMaker

PROTOCOLS = "**/api/v1/protocols?*"


@pytest.fixture(scope="module")
def demo(make_shared_stack: StackMaker) -> Stack:
    """A system in demo mode with the protocol `demo`."""
    system = make_shared_stack(DASHBOARD_DEMO="1")
    make_protocol(system.api, id="demo", name="Demo")
    return system


def sign_in(page: Visit, stack: Stack, protocol_id: str, role: str = "viewer") -> None:
    page.page.fill("#token", stack.api.token(role, protocols=[protocol_id]))
    page.page.click("[type=submit]")


def test_without_a_token_the_page_asks_for_one_and_accepts_it(stack: Stack, visit: Open) -> None:
    protocol_id = make_protocol(stack.api, name="Mine")
    page = visit(stack)
    page.page.fill("#token", "no token")
    page.page.click("[type=submit]")
    page.see("[role=alert]", "no token")
    page.page.fill("#token", stack.api.token("viewer", protocols=[protocol_id]))
    page.page.click("[type=submit]")
    page.wait_until_live()
    page.see(".bar", "Mine")
    page.page.click("text=Sign out")
    page.page.wait_for_selector("#token")
    assert page.page.evaluate("sessionStorage.length + localStorage.length") == 0


def test_a_rejected_token_is_reported_and_can_be_replaced(stack: Stack, protocol_id: str, visit: Open) -> None:
    page = visit(stack)
    page.page.fill("#token", stack.api.token("viewer", protocols=[protocol_id])[:-6] + "AAAAAA")
    page.page.click("[type=submit]")
    page.see("[role=alert]", "not valid")
    page.page.wait_for_selector("#token")


def test_the_demo_signs_in_as_a_viewer_and_offers_the_other_roles(demo: Stack, visit: Open) -> None:
    file_vulnerability(demo.api, "demo", title="For the validator")
    page = visit(demo)
    page.wait_until_live()
    assert page.page.get_attribute(".segments [aria-pressed=true]", "aria-pressed") == "true"
    assert page.text(".bar [aria-pressed=true]").lower() == "viewer"
    page.page.click(".bar .segments >> text=validator")
    page.page.click(".cell-actions >> text=Confirm")
    page.page.wait_for_selector("dialog[open]")


def test_user_input_is_rendered_as_text(stack: Stack, protocol_id: str, visit: Open) -> None:
    title = "<img src=x onerror=alert(1)>"
    file_vulnerability(stack.api, protocol_id, title=title)
    page = visit(stack, "viewer", protocol_id)
    page.see(".finding-title", title)
    assert page.page.locator("#findings img").count() == 0


def test_switching_roles_quickly_leaves_one_connection(demo: Stack, visit: Open) -> None:
    page = visit(demo)
    page.wait_until_live()
    sockets: list[WebSocket] = []
    page.listen("websocket", lambda socket: sockets.append(socket))  # noqa: PLW0108 - a bare append is no handler
    roles = ["owner", "validator", "viewer"] * 2
    page.page.evaluate(
        """(roles) => {
          const buttons = [...document.querySelectorAll(".bar .segments button")];
          roles.forEach((role) => buttons.find((each) => each.textContent === role).click());
        }""",
        roles,
    )
    page.see(".bar [aria-pressed=true]", roles[-1])
    page.wait_until_live()
    page.page.wait_for_timeout(1000)  # for one that should not come

    def open_sockets() -> list[WebSocket]:
        page.page.wait_for_timeout(20)
        return [socket for socket in sockets if not socket.is_closed()]

    until(lambda: len(open_sockets()) == 1, 10, "one connection is left")


def test_a_failed_load_of_the_protocols_is_shown_and_retried(stack: Stack, protocol_id: str, visit: Open) -> None:
    page = visit(stack)
    page.page.route(PROTOCOLS, lambda route: route.fulfill(status=503, json={"detail": "The database did not answer."}))
    sign_in(page, stack, protocol_id)
    page.see("#main [role=alert]", "The database did not answer. Trying again.")
    page.page.unroute(PROTOCOLS)
    page.wait_until_live()
    page.page.wait_for_selector("#main [role=alert]", state="detached")


def test_without_a_granted_protocol_the_page_says_so_until_there_is_one(stack: Stack, visit: Open) -> None:
    page = visit(stack)
    sign_in(page, stack, "made-later")
    page.see("#main", "No protocol is granted to you")
    assert "Loading" not in page.text("#main")
    make_protocol(stack.api, id="made-later", name="Made later")
    page.wait_until_live()
    page.see(".bar", "Made later")


def test_a_late_rejection_of_the_previous_role_does_not_sign_out_the_current_one(demo: Stack, visit: Open) -> None:
    page = visit(demo)
    page.wait_until_live()
    held: list[Route] = []
    page.page.route(PROTOCOLS, lambda route: held.append(route), times=1)  # noqa: PLW0108 - as above
    page.page.click(".bar .segments >> text=owner")
    until(lambda: page.page.wait_for_timeout(20) or held, 5, "the owner's protocols are asked for")
    page.page.click(".bar .segments >> text=validator")
    page.wait_until_live()
    held[0].fulfill(status=401, json={"detail": "The token is not valid."})
    page.page.wait_for_timeout(300)
    assert page.page.locator("#token").count() == 0
    assert page.text(".bar [aria-pressed=true]").lower() == "validator"


def test_a_protocol_without_a_grant_is_reported_and_the_address_is_corrected(
    stack: Stack, protocol_id: str, visit: Open
) -> None:
    page = visit(stack, "viewer", protocol_id)
    page.page.goto(f"{stack.url}/?protocol=zzz")
    page.see(".notice", "“zzz” is not among yours")
    assert parse_qs(urlsplit(page.page.url).query)["protocol"] == [protocol_id]


def test_keyboard_focus_is_set_after_signing_in_and_out(stack: Stack, protocol_id: str, visit: Open) -> None:
    page = visit(stack)
    page.page.wait_for_selector("#token:focus")
    sign_in(page, stack, protocol_id)
    page.wait_until_live()
    page.page.wait_for_selector("#main:focus")
    page.page.click("text=Sign out")
    page.page.wait_for_selector("#token:focus")


def test_filters_survive_a_switch_of_the_protocol(stack: Stack, visit: Open) -> None:
    first, second = make_protocol(stack.api, name="First"), make_protocol(stack.api, name="Second")
    for each, title in ((first, "Of the first"), (second, "Of the second")):
        deposit(stack.api, each, "1.00")
        file_vulnerability(stack.api, each, title=title, severity="LOW")
        file_vulnerability(stack.api, each, title="Never shown", severity="HIGH")
    page = visit(stack, "viewer", first, protocols=[first, second])
    page.page.select_option("[aria-label=Severity]", "LOW")
    page.page.select_option(".protocol-switch select", second)
    page.see(".finding-title", "Of the second")
    assert page.page.input_value("[aria-label=Severity]") == "LOW"
    assert page.page.locator("#findings >> text=Never shown").count() == 0


def test_tabs_share_the_sign_in_and_the_sign_out(stack: Stack, protocol_id: str, visit: Open) -> None:
    first = visit(stack)
    second = Visit(first.page.context.new_page())
    second.page.goto(f"{stack.url}/")
    second.page.wait_for_selector("#token")
    sign_in(first, stack, protocol_id)
    first.wait_until_live()
    second.wait_until_live()
    second.page.click("text=Sign out")
    first.page.wait_for_selector("#token")


def test_an_expired_sign_in_is_renewed_without_losing_what_was_typed(
    stack: Stack, protocol_id: str, visit: Open
) -> None:
    found = file_vulnerability(stack.api, protocol_id, title="Half judged")
    page = visit(stack, "validator", protocol_id, ttl=240)
    page.see(".banner", "Your sign-in expires soon")
    page.page.click(f"[data-finding='{found['id']}'] >> text=Reject")
    page.page.fill("#field-reason", "Known since March")
    page.page.route(
        "**/reject", lambda route: route.fulfill(status=401, json={"detail": "The token has expired."}), times=1
    )
    page.page.click("dialog [type=submit]")
    page.page.click("dialog >> text=Renew your sign-in")
    subject = page.page.evaluate("dashboard.session.subject")
    page.page.fill("#new-token", stack.api.token("validator", protocols=[protocol_id]))
    page.page.click("dialog >> text=Renew >> nth=-1")
    page.page.wait_for_selector("#new-token", state="detached")
    assert page.page.evaluate("dashboard.session.subject") == subject
    assert page.page.input_value("#field-reason") == "Known since March"
    page.page.wait_for_selector(".banner", state="detached")
    page.page.unroute_all()
    page.run_first("localStorage.setItem('dashboard.token', localStorage.getItem('renewed'))")
    page.page.evaluate("localStorage.setItem('renewed', localStorage.getItem('dashboard.token'))")
    page.page.reload()
    page.wait_until_live()
    page.page.click(f"[data-finding='{found['id']}'] >> text=Reject")
    assert page.page.input_value("#field-reason") == "Known since March"
    page.page.click("dialog [type=submit]")
    page.see(f"[data-finding='{found['id']}']", "rejected")
    assert page.page.evaluate("sessionStorage.getItem('dashboard.drafts')") is None


def test_a_dialog_closes_when_another_tab_changes_the_user(demo: Stack, visit: Open) -> None:
    found = file_vulnerability(demo.api, "demo", title="Half judged")
    first = visit(demo)
    first.page.click("text=validator")
    first.page.click(f"[data-finding='{found['id']}'] >> text=Reject")
    first.page.fill("#field-reason", "Known since March")
    second = Visit(first.page.context.new_page())
    second.page.goto(f"{demo.url}/?protocol=demo")
    second.page.click(".segments >> text=admin")
    first.page.wait_for_selector("dialog", state="detached")
    first.page.click(f"[data-finding='{found['id']}'] >> text=Reject")
    assert first.page.input_value("#field-reason") == ""
    first.page.keyboard.press("Escape")
    second.page.click(".segments >> text=validator")
    first.page.wait_for_selector(".segments [aria-pressed=true] >> text=validator")
    first.page.click(f"[data-finding='{found['id']}'] >> text=Reject")
    assert first.page.input_value("#field-reason") == "Known since March"


def test_a_dialog_closes_when_back_leads_to_another_protocol(stack: Stack, visit: Open) -> None:
    first, second = make_protocol(stack.api, name="First"), make_protocol(stack.api, name="Second")
    file_vulnerability(stack.api, second, title="Of the second")
    page = visit(stack, "validator", first, protocols=[first, second])
    page.page.select_option(".protocol-switch select", second)
    page.page.click("[data-finding] >> text=Reject")
    page.page.go_back()
    page.page.wait_for_selector("dialog", state="detached")
