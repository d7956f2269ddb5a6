"""The page's memory does not grow with the number of events."""

from typing import Any

import pytest
from playwright.sync_api import CDPSession, Route

from tests.browser.conftest import Open
from tests.factories import file_vulnerability
from tests.support.stack import Stack

AGENTS = 300
WARM, MORE = 110, 230  # batches of one update per agent: 33,000 updates, then 69,000; the first fill the feed
MAX_GROWTH_BYTES = 1_500_000
MAX_MORE_NODES = 150

KEEP_SOCKETS = """
  window.sockets = [];
  window.WebSocket = class extends WebSocket {
    constructor(...all) {
      super(...all);
      window.sockets.push(this);
    }
  };
"""

# Each batch as the server sends it, one a frame: every agent reports, and some end their task and take another.
DRIVE = """async ({ from, count }) => {
  const { room } = window.dashboard;
  const socket = window.sockets.findLast((each) => each.readyState === WebSocket.OPEN);
  const ids = [...room.state.agents.keys()];
  const send = (eventType, data) => {
    window.seq = String(BigInt(window.seq ?? room.state.seq) + 1n);
    const event = { eventType, timestamp: new Date().toISOString(), protocolId: room.protocolId, seq: window.seq, data };
    socket.dispatchEvent(new MessageEvent("message", { data: "42" + JSON.stringify([eventType, event]) }));
  };
  for (let batch = from; batch < from + count; batch += 1) {
    const updates = ids.map((agentId, index) => ({
      agentId, task: `task ${Math.floor((batch + index) / 20)}`, progress: String((batch * 7) % 100), status: "RUNNING",
      estimatedCompletion: new Date(Date.now() + 60_000).toISOString(), error: null, nextTask: null, version: String(batch + 1),
    }));
    send("agent:task_updates", { updates });
    const failed = { ...updates[batch % ids.length], status: "FAILED", error: { message: `out of gas ${batch}` }, version: String(batch + 2) };
    send("agent:task_update", failed);
    await new Promise(requestAnimationFrame);
  }
  return room.counters;
}"""  # noqa: E501 - a script


def crowd(route: Route) -> None:
    """Answer `/state` with many agents at work."""
    state = route.fetch().json()
    state["agents"] = [
        {
            "agentId": f"A{number}",
            "name": f"Agent {number}",
            "type": "RESEARCHER",
            "presence": "ONLINE",
            "lastSeen": state["asOf"],
            "task": "scan",
            "progress": "0",
            "status": "RUNNING",
            "estimatedCompletion": None,
            "error": None,
            "nextTask": None,
            "version": "0",
        }
        for number in range(AGENTS)
    ]
    route.fulfill(json=state)


def measure(session: CDPSession) -> tuple[int, int]:
    """The used bytes of the heap and the number of nodes, after all garbage is collected."""
    for _ in range(3):
        session.send("HeapProfiler.collectGarbage")
    metrics: list[dict[str, Any]] = session.send("Performance.getMetrics")["metrics"]
    values = {each["name"]: each["value"] for each in metrics}
    return int(values["JSHeapUsedSize"]), int(values["Nodes"])


@pytest.mark.slow
def test_a_hundred_thousand_updates_leave_heap_and_nodes_flat(stack: Stack, protocol_id: str, visit: Open) -> None:
    file_vulnerability(stack.api, protocol_id, title="Known")
    page = visit(stack, "viewer", protocol_id, is_alone=True)
    page.run_first(KEEP_SOCKETS)
    page.page.route("**/state?*", crowd)
    page.page.reload()
    page.wait_until_live()
    page.see("#agents", f"All {AGENTS}")
    session = page.page.context.new_cdp_session(page.page)
    session.send("Performance.enable")
    page.page.evaluate(DRIVE, {"from": 0, "count": WARM})
    heap, nodes = measure(session)
    page.page.evaluate(DRIVE, {"from": WARM, "count": MORE})
    later_heap, later_nodes = measure(session)
    print({"heap": (heap, later_heap), "nodes": (nodes, later_nodes)})
    assert later_heap - heap < MAX_GROWTH_BYTES
    assert later_nodes - nodes < MAX_MORE_NODES
    assert page.problems == []
    page.page.unroute_all(behavior="ignoreErrors")
