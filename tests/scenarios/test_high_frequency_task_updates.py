"""Scenario: High-frequency task updates."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from tests.factories import make_agent, report
from tests.support.event_checks import moment
from tests.support.js_client import Event, JsSocket
from tests.support.machine_speed import slowdown
from tests.support.stack import Stack

EVENT = "agent:task_update"
GAP_MS = 1000
ROOM_LIMIT = 10
SECONDS = 5


def gaps_ms(events: list[Event]) -> list[float]:
    """Milliseconds between events by Redis's clock, which stamps a RUNNING update when it is published."""
    times = [moment(event.payload["timestamp"]).timestamp() * 1000 for event in events]
    return [round(after - before) for before, after in pairwise(times)]


def report_for_seconds(stack: Stack, agent_id: str, protocol_id: str, seconds: float) -> int:
    """Report as fast as the server responds, at most 50 times a second; returns the last progress in hundredths."""
    agent, number, end = stack.api.agent(agent_id), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        number += 1
        body = report(protocol_id, "scan", round(number / 100, 2))
        agent.post(f"/agents/{agent_id}/progress", body).expect(202)
        time.sleep(0.02)
    return number


def test_constant_reports_of_an_agent_emit_one_event_a_second_with_the_newest_progress(
    stack: Stack, viewer: JsSocket, protocol_id: str, agent_id: str
) -> None:
    began = time.monotonic()
    sent = report_for_seconds(stack, agent_id, protocol_id, SECONDS)
    viewer.wait_for_event(EVENT, 3, progress=f"{sent / 100:.2f}".rstrip("0").rstrip("."))
    took = time.monotonic() - began

    events = viewer.events(EVENT)
    assert sent > 10 * len(events) / slowdown()
    assert (SECONDS - 1) / slowdown() <= len(events) <= took + 1
    assert min(gaps_ms(events)) >= GAP_MS
    assert max(gaps_ms(events)) <= 2 * GAP_MS * slowdown()
    versions = [int(event.data["version"]) for event in events]
    assert versions == sorted(set(versions))


def test_reports_of_one_agent_over_many_connections_emit_one_event_a_second(
    stack: Stack, viewer: JsSocket, protocol_id: str, agent_id: str
) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: report_for_seconds(stack, agent_id, protocol_id, 3), range(4)))
    stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, "scan", 99)).expect(202)
    viewer.wait_for_event(EVENT, progress="99")
    took = time.monotonic() - began

    events = viewer.events(EVENT)
    assert 3 <= len(events) <= took + 1
    assert min(gaps_ms(events)) >= GAP_MS


def test_terminal_updates_are_emitted_one_a_second_and_none_is_coalesced(
    stack: Stack, viewer: JsSocket, protocol_id: str, agent_id: str
) -> None:
    agent, path = stack.api.agent(agent_id), f"/agents/{agent_id}/progress"
    with stack.emissions() as emissions:
        for number in range(4):
            agent.post(path, report(protocol_id, f"t{number}", 50)).expect(202)
            agent.post(path, report(protocol_id, f"t{number}", status="COMPLETED")).expect(202)
        viewer.wait_for_event(EVENT, 15, task="t3", status="COMPLETED")

    events = viewer.events(EVENT)
    assert [event.data["task"] for event in events if event.data["status"] == "COMPLETED"] == ["t0", "t1", "t2", "t3"]
    assert emissions.most_a_second(protocol_id) == 1


@pytest.mark.slow
def test_many_busy_agents_share_the_room_limit_and_each_is_delivered(
    stack: Stack, viewer: JsSocket, protocol_id: str
) -> None:
    agents = [make_agent(stack.api) for _ in range(40)]
    with stack.emissions() as emissions:
        for progress in range(1, 7):
            updates = [report(protocol_id, "scan", progress) | {"agentId": each} for each in agents]
            answer = stack.api.admin.post("/progress", {"updates": updates}).expect(202)
            assert answer["accepted"] == str(len(agents))
            viewer.wait_until_count(ROOM_LIMIT * progress)
        for each in agents:
            viewer.wait_for_event(EVENT, 20, agentId=each, progress="6")

    assert emissions.most_a_second(protocol_id) == ROOM_LIMIT
    seqs = [int(event.payload["seq"]) for event in viewer.events()]
    assert seqs == list(range(1, len(seqs) + 1))
