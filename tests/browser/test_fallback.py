"""Where Socket.IO is blocked, the page is live over a plain stream, and says so."""

from tests.browser.conftest import Open
from tests.browser.test_live_page import assert_page_equals_state
from tests.factories import deposit, make_agent, report
from tests.support.blocking_proxy import BlockingProxy
from tests.support.stack import Stack


def test_behind_a_proxy_that_blocks_socket_io_the_page_shows_changes_and_says_how_it_is_connected(
    stack: Stack, protocol_id: str, visit: Open
) -> None:
    agent_id = make_agent(stack.api, name="Argus")
    with BlockingProxy(stack.port) as proxy:
        seen = visit(stack)
        token = stack.api.token("owner", protocols=[protocol_id])
        seen.run_first(f"localStorage.setItem('dashboard.token', '{token}')")
        seen.page.goto(f"{proxy.url}/?inspect&protocol={protocol_id}")
        seen.see("[data-status=live]", "Live over a plain stream", seconds=60)
        assert proxy.blocked >= 3
        deposit(stack.api, protocol_id, "1234567.50")
        stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, progress=37)).expect(202)
        seen.see("#feed", "1,234,567.50 USDC")
        seen.see(f"[data-agent='{agent_id}']", "37 %")
        assert_page_equals_state(seen, stack, protocol_id)
        assert seen.page.evaluate("dashboard.room.counters.losses") == 0
        assert [each for each in seen.problems if "socket.io" not in each] == []

        proxy.is_blocking = False
        seen.page.reload()
        seen.see("[data-status=live]", "Live")
        assert seen.text("[data-status=live]") == "Live"
