"""Scenario: Agent task completion."""

from tests.factories import report
from tests.support.js_client import JsSocket
from tests.support.stack import Stack

EVENT = "agent:task_update"


def complete(stack: Stack, agent_id: str, protocol_id: str, task: str, **more: str) -> None:
    body = {"protocolId": protocol_id, "task": task, "status": "COMPLETED"} | more
    stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", body).expect(202)


def current_task(stack: Stack, agent_id: str) -> str | None:
    task = stack.api.viewer.get(f"/agents/{agent_id}").expect(200)["currentTask"]
    return task and task["task"]


def test_a_completion_is_delivered_with_progress_100_and_the_next_task_starts(
    stack: Stack, viewer: JsSocket, protocol_id: str, agent_id: str
) -> None:
    stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, "scan", 70)).expect(202)
    complete(stack, agent_id, protocol_id, "scan", nextTask="fuzz")

    done = viewer.wait_for_event(EVENT, status="COMPLETED").data
    started = viewer.wait_for_event(EVENT, task="fuzz").data

    assert (done["task"], done["progress"], done["nextTask"], done["error"]) == ("scan", "100", "fuzz", None)
    assert (started["progress"], started["status"]) == ("0", "RUNNING")
    assert int(started["version"]) > int(done["version"])
    assert current_task(stack, agent_id) == "fuzz"


def test_without_a_reported_next_task_the_first_queued_task_starts(
    stack: Stack, viewer: JsSocket, protocol_id: str, agent_id: str
) -> None:
    agent = stack.api.agent(agent_id)
    for name in ("first in line", "second in line"):
        agent.post(f"/agents/{agent_id}/tasks", {"protocolId": protocol_id, "name": name}).expect(201)

    complete(stack, agent_id, protocol_id, "scan")

    assert viewer.wait_for_event(EVENT, status="COMPLETED").data["nextTask"] == "first in line"
    viewer.wait_for_event(EVENT, task="first in line", status="RUNNING")
    assert current_task(stack, agent_id) == "first in line"


def test_without_a_next_task_the_agent_becomes_idle(stack: Stack, viewer, protocol_id, agent_id) -> None:
    complete(stack, agent_id, protocol_id, "scan")

    assert viewer.wait_for_event(EVENT, status="COMPLETED").data["nextTask"] is None
    assert current_task(stack, agent_id) is None


def test_a_completion_is_not_coalesced_with_the_reports_around_it(
    stack: Stack, viewer: JsSocket, protocol_id: str, agent_id: str
) -> None:
    agent = stack.api.agent(agent_id)
    path = f"/agents/{agent_id}/progress"
    for task in ("one", "two", "three"):
        agent.post(path, report(protocol_id, task, 50)).expect(202)
        agent.post(path, report(protocol_id, task, status="COMPLETED")).expect(202)
    agent.post(path, report(protocol_id, "four", 5)).expect(202)

    viewer.wait_for_event(EVENT, task="four")

    events = [event.data for event in viewer.events(EVENT)]
    assert [each["task"] for each in events if each["status"] == "COMPLETED"] == ["one", "two", "three"]
    assert [int(each["version"]) for each in events] == sorted(int(each["version"]) for each in events)
