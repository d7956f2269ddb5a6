"""No barrier in any state: lost connections, forced colours, what a screen reader is told."""

from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute

from tests.browser.conftest import NARROW, WIDE, Open
from tests.browser.test_quality import serious_faults
from tests.factories import deposit, make_protocol
from tests.support.stack import Stack


@pytest.fixture(scope="module")
def funded(stack: Stack) -> str:
    protocol_id = make_protocol(stack.api, name="Funded")
    deposit(stack.api, protocol_id, "1000.00")
    return protocol_id


def cut_off(page: Page, *, may_return: bool) -> None:
    """Reload the page, let its first connection come to life, then cut it; the next one is refused or let through."""
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
    sockets[0].close()


@pytest.mark.parametrize(
    "looks",
    [{"viewport": WIDE, "color_scheme": "light"}, {"viewport": NARROW, "color_scheme": "dark"}],
    ids=["wide-light", "narrow-dark"],
)
@pytest.mark.parametrize("status", ["reconnecting", "resyncing"])
def test_axe_finds_no_fault_while_the_page_is_not_live(
    stack: Stack, funded: str, visit: Open, status: str, looks: dict[str, Any]
) -> None:
    page = visit(stack, "viewer", funded, reduced_motion="reduce", **looks)
    cut_off(page.page, may_return=status == "resyncing")
    page.page.wait_for_selector(f"[data-status={status}]")
    page.see(".banner", "may be old")
    assert serious_faults(page) == []
