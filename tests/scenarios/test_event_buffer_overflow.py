"""Scenario: Event buffer overflow."""

import re

import pytest

from tests.factories import deposit
from tests.support.js_client import JsSocket
from tests.support.machine_speed import patience, slowdown
from tests.support.stack import Stack

EVENT = "bounty_pool:updated"
CAPACITY = 100
LIMIT = 10
FLOOD = 250


def dropped_seqs(stack: Stack, protocol_id: str) -> list[int]:
    lines = stack.log_lines("WARNING event.dropped", f"room=protocol:{protocol_id}", f"eventType={EVENT}")
    return [int(re.search(r"seq=(\d+)", line).group(1)) for line in lines]


def flood(stack: Stack, protocol_id: str) -> None:
    """Emit far faster than the room limit: within a second what takes half a minute to publish."""
    assert stack.run_load("publish", protocol_id, FLOOD, 0, "flood").wait(patience(60)) == 0


@pytest.mark.slow
def test_beyond_100_queued_events_the_oldest_are_dropped_and_each_drop_is_logged(
    stack: Stack, viewer: JsSocket, protocol_id: str
) -> None:
    with stack.emissions() as emissions:
        flood(stack, protocol_id)
        viewer.wait_for(lambda event: event.name == EVENT and event.payload["seq"] == str(FLOOD), 40)

    arrived = [int(event.payload["seq"]) for event in viewer.events(EVENT)]
    dropped = dropped_seqs(stack, protocol_id)
    assert len(dropped) > 0
    assert sorted(arrived + dropped) == list(range(1, FLOOD + 1))
    assert arrived == sorted(arrived)
    assert arrived[-CAPACITY:] == list(range(FLOOD + 1 - CAPACITY, FLOOD + 1))
    assert LIMIT / slowdown() <= emissions.most_a_second(protocol_id) <= LIMIT


@pytest.mark.slow
def test_each_drop_is_counted_and_the_snapshot_has_the_dropped_changes(
    stack: Stack, viewer: JsSocket, protocol_id: str
) -> None:
    before = stack.metric("dashboard_events_dropped_total", event=EVENT)
    deposit(stack.api, protocol_id, "1")
    flood(stack, protocol_id)
    for _ in range(3):
        deposit(stack.api, protocol_id, "1")
    last = viewer.wait_for(lambda event: event.name == EVENT and event.payload["seq"] == str(FLOOD + 4), 40).data

    counted = stack.metric("dashboard_events_dropped_total", event=EVENT) - before
    state = stack.api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)
    assert counted == len(dropped_seqs(stack, protocol_id)) > 0
    assert (state["seq"], state["pool"]["total"]) == (str(FLOOD + 4), "4.00")
    assert (last["total"], last["version"]) == (state["pool"]["total"], state["pool"]["version"])
