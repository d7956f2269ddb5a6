"""Scenario: Agent task progress update."""

import time

from tests.factories import report
from tests.support.js_client import JsSocket
from tests.support.machine_speed import slowdown
from tests.support.stack import Stack

EVENT = "agent:task_update"


def test_a_progress_report_reaches_the_room_with_agent_task_progress_and_estimate(
    stack: Stack, viewer: JsSocket, protocol_id: str, agent_id: str
) -> None:
    body = report(protocol_id, "symbolic execution", 65, estimatedCompletion="2030-01-02T03:04:05.678Z")
    stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", body).expect(202)

    data = dict(viewer.wait_for_event(EVENT, agentId=agent_id).data)

    assert data.pop("version").isdecimal()
    assert data == {
        "agentId": agent_id,
        "task": "symbolic execution",
        "progress": "65",
        "status": "RUNNING",
        "estimatedCompletion": "2030-01-02T03:04:05.678Z",
        "error": None,
        "nextTask": None,
    }


def test_without_an_estimate_the_event_has_null(stack: Stack, viewer, protocol_id, agent_id) -> None:
    stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id)).expect(202)
    assert viewer.wait_for_event(EVENT).data["estimatedCompletion"] is None


def test_a_report_is_delivered_within_2_seconds(stack: Stack, viewer, protocol_id, agent_id) -> None:
    agent = stack.api.agent(agent_id)
    for progress in (1, 2, 3):
        sent = time.time()
        agent.post(f"/agents/{agent_id}/progress", report(protocol_id, progress=progress)).expect(202)
        event = viewer.wait_for_event(EVENT, progress=str(progress))
        assert event.at - sent < 2 * slowdown()


def test_a_report_in_a_batch_is_delivered_too(stack: Stack, viewer, protocol_id, agent_id) -> None:
    update = report(protocol_id, "batch work", 7) | {"agentId": agent_id}
    stack.api.admin.post("/progress", {"updates": [update]}).expect(202)
    assert viewer.wait_for_event(EVENT, task="batch work").data["progress"] == "7"
