"""Admins create protocols and agents, issue and revoke tokens, and read the audit log on the page."""

import json

from app.audit.service import AuditAction
from tests.browser.conftest import NARROW, WIDE, Open, Visit
from tests.browser.test_quality import axe_violations
from tests.factories import deposit, unique
from tests.support.processes import until
from tests.support.stack import Stack

COUNT_CLICKS = "window.clicks = 0; addEventListener('click', (event) => (window.clicks += event.detail > 0), true)"
STORED = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"


def shown_token(admin: Visit) -> str:
    admin.page.wait_for_selector(".new-token input")
    return str(admin.page.input_value(".new-token input"))


def test_a_token_is_issued_in_three_clicks_shown_once_and_revoked(stack: Stack, protocol_id: str, visit: Open) -> None:
    clipboard = ["clipboard-read", "clipboard-write"]
    admin = visit(stack, "admin", protocol_id, viewport={"width": 1366, "height": 650}, permissions=clipboard)
    page, bearer = admin.page, unique("auditor")
    page.evaluate(COUNT_CLICKS)
    page.click("nav.views >> text=Admin")
    page.fill("#issue-sub", bearer)
    page.click("#issue [type=submit]")
    token = shown_token(admin)
    page.click(".new-token .copy")
    assert page.evaluate("clicks") == 3
    page.wait_for_function("async (token) => (await navigator.clipboard.readText()) === token", arg=token)
    admin.see(".new-token", "shown this once")
    assert axe_violations(admin) == []

    bearers = stack.api.with_token(token)
    assert bearers.get(f"/protocols/{protocol_id}").status == 200
    assert bearers.post(f"/protocols/{protocol_id}/deposits", {"amount": "1"}).status == 403, "a viewer by default"
    assert token not in page.evaluate(STORED)
    page.click(".new-token >> text=Done")
    page.wait_for_selector("#issue")
    assert token not in page.content()
    assert token not in json.dumps(stack.api.admin.get("/tokens").expect(200))

    page.click(f"[data-row]:has-text('{bearer}') >> text=Revoke")
    page.click("dialog [type=submit]")
    admin.see("#reason-fault", "Say why")
    page.fill("#field-reason", "The laptop was lost")
    page.click("dialog [type=submit]")
    admin.see(f"[data-row]:has-text('{bearer}')", "revoked")
    admin.see("[aria-label='Revoked tokens']", "The laptop was lost")
    until(lambda: bearers.get(f"/protocols/{protocol_id}").status == 401, 20, "the token is refused")
    assert admin.problems == []


def test_the_first_protocol_and_agent_are_created_on_the_page(stack: Stack, visit: Open) -> None:
    """The list of protocols is empty until one is created here, as on a new system."""
    protocol_id, agent_id = unique("P"), unique("A")
    admin = visit(stack, viewport=NARROW)
    page = admin.page
    page.route("**/api/v1/protocols?*", lambda route: route.fulfill(json={"items": [], "nextCursor": None}))
    page.fill("#token", stack.api.token("admin"))
    page.click("[type=submit]")
    page.click("text=Create the first protocol")
    page.fill("#new-protocol-id", "not an id")
    page.click("#new-protocol [type=submit]")
    admin.see("#new-protocol", "Fill this in")
    admin.see("#new-protocol", "Begin with a letter or digit")
    page.fill("#new-protocol-id", protocol_id)
    page.fill("#new-protocol-name", "Meridian")
    page.unroute("**/api/v1/protocols?*")
    page.click("#new-protocol [type=submit]")
    admin.see(".made", f"dashboard token --role owner --protocol {protocol_id}")
    admin.see("[aria-label=Protocols]", protocol_id)
    assert axe_violations(admin) == []

    page.goto(f"{stack.url}/?view=admin&section=agents&protocol={protocol_id}")
    page.fill("#new-agent-name", "Scanner")
    page.fill("#new-agent-id", agent_id)
    page.click("#new-agent [type=submit]")
    admin.see(".made", agent_id)
    page.click("text=Issue its token")
    agent = stack.api.with_token(shown_token(admin))
    report = {"protocolId": protocol_id, "task": "First scan", "progress": 10}
    assert agent.post(f"/agents/{agent_id}/progress", report).status == 202
    page.wait_for_function("(width) => document.documentElement.scrollWidth <= width", arg=NARROW["width"])
    assert axe_violations(admin) == []


def test_the_audit_log_is_filtered_by_its_address(stack: Stack, protocol_id: str, visit: Open) -> None:
    deposit(stack.api, protocol_id, "12.34", reference="treasury")
    admin = visit(stack, "admin", protocol_id, viewport=WIDE)
    page = admin.page
    page.goto(f"{stack.url}/?view=admin&section=audit&action=DEPOSIT&about={protocol_id}&who=owner-1")
    admin.see("[aria-label='Audit log'] tbody tr", "12.34")
    assert page.locator("[aria-label='Audit log'] tbody tr").count() == 1
    offered = page.eval_on_selector_all("[aria-label=Action] option", "all => all.map(({ value }) => value)")
    assert set(offered) == {"", *AuditAction}
    page.select_option("[aria-label=Action]", "PAYMENT_FAILED")
    admin.see(".admin", "Nothing matches.")
    page.wait_for_url("**action=PAYMENT_FAILED**")
    page.reload()
    admin.see(".admin", "Nothing matches.")
    assert axe_violations(admin) == []
    assert admin.problems == []
