"""The operators' page shows the state of the system to admins, and others the required role."""

import time

import pytest

from app.realtime.redis_keys import partition_key, partition_of
from tests.browser.conftest import NARROW, WIDE, Open, Visit
from tests.browser.test_quality import axe_violations
from tests.factories import deposit, make_protocol
from tests.support.machine_speed import patience, slowdown
from tests.support.stack import Stack

MORE_THAN_A_QUEUE = 200


def operators_page(stack: Stack, visit: Open, role: str, ttl: float = 3600) -> Visit:
    page = visit(stack, viewport=WIDE)
    page.page.evaluate(f"localStorage.setItem('dashboard.token', '{stack.api.token(role, ttl=ttl)}')")
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
    assert float(admin.text("[data-reading=beat_tick_age_seconds] dd").split()[0]) < 5 * slowdown()
    assert admin.problems == []
    assert axe_violations(admin) == []


def test_web_worker_and_beat_are_listed_each_with_its_version(stack: Stack, visit: Open) -> None:
    admin = operators_page(stack, visit, "admin")
    for kind in ("web", "worker", "beat"):
        admin.see(f".processes [data-kind={kind}]", "Python")
        admin.see(f".processes [data-kind={kind}] .sign", "sign of life")
    admin.page.wait_for_selector(".processes:not(:has-text('silent'))")
    admin.page.wait_for_selector(
        "[data-reading=emitted] .sparkline[aria-label*='per second, last 1 min'] polyline", state="attached"
    )


def test_a_room_is_flagged_only_while_it_drops_events(stack: Stack, visit: Open) -> None:
    losing = make_protocol(stack.api)
    assert stack.run_load("publish", losing, MORE_THAN_A_QUEUE, 0, "flood").wait(patience(60)) == 0
    admin = operators_page(stack, visit, "admin")
    admin.see(f"[data-room='{losing}'] .room-dropped.is-bad", "ago")
    admin.see("[data-reading=dropped].is-bad", "look")
    assert axe_violations(admin) == []
    with admin.page.expect_navigation():
        admin.page.click("[data-cause=DashboardEventsDropped] a")
    admin.see(".runbook h1", "DashboardEventsDropped")
    assert axe_violations(admin) == []
    assert admin.problems == []
    admin.page.go_back()
    with stack.redis() as client:
        client.zadd(partition_key(partition_of(losing), "dropped"), {losing: (time.time() - 90) * 1e6})
    admin.see(f"[data-room='{losing}'] .room-dropped:not(.is-bad)", "2 min ago")


def test_a_non_admin_sees_the_required_role_and_no_request_is_made(stack: Stack, visit: Open) -> None:
    page = operators_page(stack, visit, "viewer")
    page.see("#main", "this page is for the role admin alone")
    assert "dashboard token --role admin --protocol '*'" in page.text("#main")
    assert axe_violations(page) == []
    page.page.fill("#token", stack.api.token("admin"))
    page.page.click("text=Sign in")
    page.wait_until_live()
    assert page.problems == []


@pytest.mark.parametrize("status", [401, 403])
def test_after_a_rejection_by_the_server_the_page_asks_to_sign_in_and_stops_polling(
    stack: Stack, visit: Open, status: int
) -> None:
    admin = operators_page(stack, visit, "admin")
    admin.wait_until_live()
    asked: list[str] = []
    admin.page.route("**/ops/status", lambda route: (asked.append(""), route.fulfill(status=status, json={})))
    admin.page.wait_for_selector("#token")
    before = len(asked)
    admin.page.wait_for_timeout(2500)  # longer than the page waits between two readings
    assert len(asked) == before


def test_only_admins_see_the_link_to_the_operators_page(stack: Stack, protocol_id: str, visit: Open) -> None:
    viewer = visit(stack, "viewer", protocol_id, viewport=NARROW)
    assert viewer.page.locator("header a[href='/docs']").is_visible()
    assert viewer.page.locator("header a[href='/ops']").count() == 0
    admin = visit(stack, "admin", protocol_id, viewport=NARROW)
    admin.page.click("header a[href='/ops']")
    admin.wait_until_live()


def test_the_server_rejects_every_other_role(stack: Stack) -> None:
    for role in ("viewer", "agent", "validator", "owner"):
        assert stack.api.as_(role).get("//ops/status").status == 403
    assert stack.api.with_token(None).get("//ops/status").status == 401
