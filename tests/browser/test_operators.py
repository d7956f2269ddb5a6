"""The operators' page tells how the system is, to admins alone."""

from tests.browser.conftest import WIDE, Open, Visit
from tests.browser.test_quality import serious_faults
from tests.factories import deposit
from tests.support.stack import Stack


def operators_page(stack: Stack, visit: Open, role: str) -> Visit:
    page = visit(stack, viewport=WIDE)
    page.page.evaluate(f"sessionStorage.setItem('dashboard.token', '{stack.api.token(role)}')")
    page.page.goto(f"{stack.url}/ops")
    return page


def test_an_admin_sees_rooms_backlogs_and_processes_live(stack: Stack, protocol_id: str, visit: Open) -> None:
    visit(stack, "viewer", protocol_id)
    admin = operators_page(stack, visit, "admin")
    admin.wait_until_live()
    admin.see(f"[data-room='{protocol_id}'] td:nth-child(2)", "1")
    before = int(admin.text("[data-reading=emitted] dd"))
    deposit(stack.api, protocol_id, "1.00")
    admin.page.wait_for_function(
        "(before) => Number(document.querySelector('[data-reading=emitted] dd').textContent) > before", arg=before
    )
    assert float(admin.text("[data-reading=beat_tick_age_seconds] dd").split()[0]) < 5
    assert admin.text("#ops-system .processes") != ""
    assert admin.complaints == []
    assert serious_faults(admin) == []


def test_nobody_else_does(stack: Stack, visit: Open) -> None:
    owner = operators_page(stack, visit, "owner")
    owner.see("[role=alert]", "may not")
    for role in ("viewer", "agent", "validator", "owner"):
        assert stack.api.as_(role).get("//ops/status").status == 403
    assert stack.api.with_token(None).get("//ops/status").status == 401
