"""Accessibility in every state: lost connections, forced colours and live regions."""

import time

import pytest
from playwright.sync_api import Page, WebSocketRoute

from tests.browser.conftest import Open
from tests.browser.test_quality import axe_violations, look_narrow_and_dark
from tests.factories import deposit, make_agent, make_protocol, report
from tests.support.stack import Stack

ANNOUNCED_EVERY_SECONDS = 3.0


@pytest.fixture(scope="module")
def funded(stack: Stack) -> str:
    protocol_id = make_protocol(stack.api, name="Funded")
    deposit(stack.api, protocol_id, "1000.00")
    return protocol_id


def cut_off(page: Page, *, may_return: bool) -> None:
    """Reload the page and cut its first connection once it is live; `may_return` decides about the next one."""
    sockets: list[WebSocketRoute] = []

    def route(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        if len(sockets) == 1 or may_return:
            socket.connect_to_server()
        else:
            socket.close()

    page.route_web_socket("**/socket.io/**", route)
    page.reload()
    page.wait_for_selector("[data-status=live]")
    page.route("**/state?*", lambda _: None)  # is asked for again and never answered
    page.route("**/healthz", lambda route: route.abort())  # else a plain stream would take over soon
    sockets[0].close()


@pytest.mark.parametrize("status", ["reconnecting", "resyncing"])
def test_axe_finds_no_violation_while_the_page_is_disconnected(
    stack: Stack, funded: str, visit: Open, status: str
) -> None:
    page = visit(stack, "viewer", funded, reduced_motion="reduce", is_last=True)
    cut_off(page.page, may_return=status == "resyncing")
    page.page.wait_for_selector(f"[data-status={status}]")
    page.see(".banner", "may be old")
    assert axe_violations(page) == []
    look_narrow_and_dark(page)
    page.page.wait_for_selector(f"[data-status={status}]")
    assert axe_violations(page) == []


LISTEN = """() => {
  window.heard = [];
  const regions = document.querySelectorAll("[aria-live], [role=status], [role=alert], [role=log]");
  const listener = new MutationObserver((changes) => {
    for (const { target } of changes) window.heard.push((target.parentElement ?? target).textContent);
  });
  for (const each of regions) listener.observe(each, { subtree: true, childList: true, characterData: true });
}"""


def test_live_regions_announce_changes_but_not_elapsed_times(stack: Stack, funded: str, visit: Open) -> None:
    page = visit(stack, "viewer", funded)
    deposit(stack.api, funded, "11.00")
    page.see("#feed [role=status]", "Deposit 11.00 USDC")
    page.page.evaluate(LISTEN)
    page.see("#feed time", "s ago")
    assert page.page.evaluate("window.heard") == []
    deposit(stack.api, funded, "22.00", reference="treasury")
    page.page.wait_for_function("() => window.heard.some((text) => text.includes('Deposit 22.00 USDC · treasury'))")


def test_many_concurrent_changes_are_announced_in_few_sentences(stack: Stack, funded: str, visit: Open) -> None:
    page = visit(stack, "viewer", funded)
    page.page.evaluate(LISTEN)
    began = time.monotonic()
    for cents in range(1, 31):
        deposit(stack.api, funded, f"0.{cents:02}")
    page.see("#feed", "0.30 USDC")
    page.page.wait_for_function("() => window.heard.some((text) => text.includes('more'))")
    heard = page.page.evaluate("window.heard.length")
    assert heard < 6 + (time.monotonic() - began) / ANNOUNCED_EVERY_SECONDS


def test_bars_and_the_pressed_button_are_distinguishable_in_forced_colours(
    stack: Stack, funded: str, visit: Open
) -> None:
    agent_id = make_agent(stack.api)
    stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(funded, progress=50)).expect(202)
    page = visit(stack, "viewer", funded, forced_colors="active")
    page.see("#agents", "50 %")
    ground = "(selector) => getComputedStyle(document.querySelector(selector)).backgroundColor"
    pairs = [
        (".agent-progress span", ".agent-progress"),
        (".pool-bar .part-available", ".panel"),
        (".segments [aria-pressed=true]", ".segments [aria-pressed=false]"),
    ]
    for shown, around in pairs:
        assert page.page.evaluate(ground, shown) != page.page.evaluate(ground, around), shown


def test_a_failed_agent_that_went_offline_still_shows_its_error(stack: Stack, funded: str, visit: Open) -> None:
    agent_id = make_agent(stack.api)
    failed = report(funded, "tracing", status="FAILED", error={"message": "out of gas"})
    stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", failed).expect(202)
    page = visit(stack, "viewer", funded, is_last=True)
    page.page.clock.install()
    page.page.reload()
    page.see(f"[data-agent='{agent_id}']", "out of gas")
    page.page.clock.fast_forward("03:00")
    page.see(f"[data-agent='{agent_id}']", "silent")
    page.see(f"[data-agent='{agent_id}']", "out of gas")
