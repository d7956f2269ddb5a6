"""Scenario: Agent task failure."""

import pytest

from tests.factories import report
from tests.support.js_client import JsSocket
from tests.support.stack import Stack

EVENT = "agent:task_update"


@pytest.mark.parametrize("code", ["E_REVERT", None])
def test_a_failure_is_delivered_with_its_error_and_progress_0(
    code: str | None, stack: Stack, viewer: JsSocket, protocol_id: str, agent_id: str
) -> None:
    agent, path = stack.api.agent(agent_id), f"/agents/{agent_id}/progress"
    error = {"message": "transaction reverted at block 19,000,000"} | ({"code": code} if code else {})
    agent.post(path, report(protocol_id, "replay", 80)).expect(202)
    agent.post(path, report(protocol_id, "replay", 80, status="FAILED", error=error)).expect(202)

    data = viewer.wait_for_event(EVENT, status="FAILED").data

    assert (data["task"], data["progress"], data["nextTask"]) == ("replay", "0", None)
    assert data["error"] == {"code": code, "message": error["message"]}


def test_after_a_failure_the_state_has_progress_0_and_the_task_is_failed(
    stack: Stack, viewer: JsSocket, protocol_id: str, agent_id: str
) -> None:
    agent, path = stack.api.agent(agent_id), f"/agents/{agent_id}/progress"
    agent.post(path, report(protocol_id, "replay", 80)).expect(202)
    failed = {"status": "FAILED", "error": {"message": "node went away"}}
    agent.post(path, report(protocol_id, "replay", 80, **failed)).expect(202)

    agents = stack.api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)["agents"]
    tasks = stack.api.viewer.get(f"/agents/{agent_id}/tasks").expect(200)["items"]

    assert [(each["progress"], each["status"]) for each in agents] == [("0", "FAILED")]
    assert [(each["name"], each["status"]) for each in tasks] == [("replay", "FAILED")]
    assert viewer.wait_for_event(EVENT, status="FAILED").data["version"] == agents[0]["version"]


def test_a_failed_task_can_be_started_again(stack: Stack, viewer, protocol_id, agent_id) -> None:
    agent, path = stack.api.agent(agent_id), f"/agents/{agent_id}/progress"
    failed = {"status": "FAILED", "error": {"message": "timeout"}}
    agent.post(path, report(protocol_id, "replay", **failed)).expect(202)
    agent.post(path, report(protocol_id, "replay", 5)).expect(202)

    restarted = viewer.wait_for_event(EVENT, status="RUNNING", progress="5").data

    assert restarted["error"] is None
    assert int(restarted["version"]) > int(viewer.wait_for_event(EVENT, status="FAILED").data["version"])
