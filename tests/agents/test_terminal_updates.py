"""Terminal updates: each accepted one reaches its room, with any concurrent updates, and once per key."""

from collections.abc import Callable

import pytest
from flask import Flask

from app.config import Config
from app.core.extensions import db
from app.realtime import limiter, outbox
from app.realtime.outbox import OutboxEvent
from tests.factories import make_agent, make_protocol, report, unique
from tests.support.api import Api
from tests.support.emissions import Emissions, await_marks
from tests.support.money import at_once, own_api
from tests.support.processes import until

AGENTS, UPDATES = 4, 4


def two_protocols(api: Api) -> tuple[str, str]:
    """Two protocols; the events of the second are stored first, because rooms are locked in the order of their ids."""
    return make_protocol(api, id=unique("b")), make_protocol(api, id=unique("a"))


def complete(api: Api, agent_id: str, protocol_id: str, task: str, **headers: str):
    body = report(protocol_id, task, status="COMPLETED")
    return api.agent(agent_id).post(f"/agents/{agent_id}/progress", body, **headers)


def tasks_of(api: Api, agent_id: str) -> list[tuple[str, str]]:
    listed = api.admin.get(f"/agents/{agent_id}/tasks").expect(200)["items"]
    return [(each["name"], each["status"]) for each in listed]


def completed(emissions: Emissions, *protocol_ids: str) -> list[tuple[str, str]]:
    events = [event.members for each in protocol_ids for event in emissions.of(each)]
    return sorted((event["agentId"], event["task"]) for event in events if event["status"] == "COMPLETED")


def drained(condition: Callable[[], bool], seconds: float = 40) -> None:
    def drain() -> bool:
        limiter.drain()
        return condition()

    until(drain, seconds, "all terminal updates were emitted")


@pytest.mark.slow
def test_concurrent_terminal_updates_of_one_agent_all_reach_the_room(
    api: Api, app: Flask, settings: Config, emissions: Emissions, protocol_id: str
) -> None:
    agents = [make_agent(api) for _ in range(AGENTS)]
    wanted = sorted((agent, f"t{number}") for agent in agents for number in range(UPDATES))

    answers = at_once(
        8, [lambda each=each: complete(own_api(app, settings), each[0], protocol_id, each[1]) for each in wanted]
    )

    assert {answer.status for answer in answers} == {202}
    with app.app_context():
        drained(lambda: len(completed(emissions, protocol_id)) >= len(wanted))
    assert completed(emissions, protocol_id) == wanted
    for agent in agents:
        versions = [
            int(event.members["version"]) for event in emissions.of(protocol_id) if event.members["agentId"] == agent
        ]
        assert versions == sorted(set(versions))


@pytest.mark.slow
def test_a_terminal_update_reaches_its_room_even_if_the_next_task_is_in_another_protocol(
    api: Api, app: Flask, settings: Config, emissions: Emissions
) -> None:
    here, there = two_protocols(api)
    agents = [make_agent(api) for _ in range(12)]
    for each in agents:
        api.admin.post(f"/agents/{each}/tasks", {"protocolId": there, "name": "next"}).expect(201)

    at_once(8, [lambda each=each: complete(own_api(app, settings), each, here, "first") for each in agents])

    with app.app_context():
        drained(lambda: len(emissions.of(here)) >= len(agents) and len(emissions.of(there)) >= len(agents))
    assert completed(emissions, here) == sorted((each, "first") for each in agents)
    started = {event.members["agentId"]: event.members["task"] for event in emissions.of(there)}
    assert started == dict.fromkeys(agents, "next")
    for each in agents:
        task = api.admin.get(f"/agents/{each}").expect(200)["currentTask"]
        assert (task["protocolId"], task["task"], task["status"]) == (there, "next", "RUNNING")


def test_events_of_two_rooms_that_a_crash_left_behind_are_emitted_in_both(
    api: Api, in_context: Flask, emissions: Emissions, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there, agent_id = (
        make_protocol(api, id=f"b{make_protocol(api)}"),
        make_protocol(api, id=f"a{make_protocol(api)}"),
        make_agent(api),
    )
    api.admin.post(f"/agents/{agent_id}/tasks", {"protocolId": there, "name": "next"}).expect(201)
    with monkeypatch.context() as crash:
        crash.setattr(outbox, "relay", lambda _: 0)
        complete(api, agent_id, here, "first").expect(202)

    outbox.sweep()  # the start first: its row is the older one

    drained(lambda: bool(emissions.of(here)) and bool(emissions.of(there)))
    assert completed(emissions, here) == [(agent_id, "first")]
    await_marks()
    assert db.session.query(OutboxEvent).filter(OutboxEvent.published_at.is_(None)).count() == 0


@pytest.mark.slow
def test_more_terminal_updates_than_a_room_queue_holds_all_reach_the_room(
    api: Api, in_context: Flask, emissions: Emissions, protocol_id: str
) -> None:
    agents = sorted(make_agent(api) for _ in range(130))
    updates = [report(protocol_id, "scan", status="COMPLETED", agentId=each) for each in agents]
    assert api.admin.post("/progress", {"updates": updates}).expect(202)["accepted"] == "130"

    drained(lambda: len(completed(emissions, protocol_id)) >= len(agents))

    assert completed(emissions, protocol_id) == [(each, "scan") for each in agents]
    seqs = [event.seq for event in emissions.of(protocol_id)]
    assert seqs == list(range(1, len(agents) + 1))


def test_the_same_key_ends_one_task_and_starts_one_queued_task(api: Api, agent_id: str, protocol_id: str) -> None:
    for name in ("q1", "q2"):
        api.admin.post(f"/agents/{agent_id}/tasks", {"protocolId": protocol_id, "name": name}).expect(201)

    first, again = (complete(api, agent_id, protocol_id, "t", Idempotency_Key="k") for _ in range(2))

    assert (first.status, again.status, again.json) == (202, 202, first.json)
    assert again.headers["idempotent-replayed"] == "true"
    assert tasks_of(api, agent_id) == [("q1", "RUNNING"), ("q2", "QUEUED"), ("t", "COMPLETED")]
    reused = complete(api, agent_id, protocol_id, "another", Idempotency_Key="k")
    assert (reused.status, reused.code) == (409, "IDEMPOTENCY_KEY_REUSED")


def test_a_batch_sent_twice_with_its_key_ends_each_task_once(api: Api, agent_id: str, protocol_id: str) -> None:
    other = make_agent(api)
    ended = [(agent_id, "one"), (other, "two"), (agent_id, "three")]
    updates = [report(protocol_id, task, status="COMPLETED", agentId=agent) for agent, task in ended]

    answers = [api.admin.post("/progress", {"updates": updates}, Idempotency_Key="k").expect(202) for _ in range(2)]

    assert answers[0] == answers[1] == {"accepted": "3", "rejected": []}
    assert tasks_of(api, agent_id) == [("one", "COMPLETED"), ("three", "COMPLETED")]
    assert tasks_of(api, other) == [("two", "COMPLETED")]
    reused = api.admin.post("/progress", {"updates": updates[:1]}, Idempotency_Key="k")
    assert (reused.status, reused.code) == (409, "IDEMPOTENCY_KEY_REUSED")


def test_the_same_key_queues_a_task_once(api: Api, agent_id: str, protocol_id: str) -> None:
    body = {"protocolId": protocol_id, "name": "scan"}
    first, again = (api.admin.post(f"/agents/{agent_id}/tasks", body, Idempotency_Key="k") for _ in range(2))
    assert first.expect(201) == again.expect(201)
    assert tasks_of(api, agent_id) == [("scan", "QUEUED")]


def test_a_batch_rejects_by_index_only_the_terminal_updates_of_an_agent_with_a_full_queue(
    api: Api, agent_id: str, protocol_id: str
) -> None:
    other = make_agent(api)
    for number in range(100):
        complete(api, agent_id, protocol_id, f"t{number}").expect(202)
    updates = [
        report(protocol_id, "one", status="COMPLETED", agentId=other),
        report(protocol_id, "one too many", status="COMPLETED", agentId=agent_id),
        report(protocol_id, "two", 40, agentId=other),
    ]

    answer = api.admin.post("/progress", {"updates": updates}).expect(202)

    assert answer["accepted"] == "2"
    assert [each["index"] for each in answer["rejected"]] == ["1"]
    assert "100 terminal updates waiting" in answer["rejected"][0]["errors"]["status"][0]
    assert tasks_of(api, other) == [("one", "COMPLETED"), ("two", "RUNNING")]
    refused = api.admin.post("/progress", {"updates": updates[1:2]})
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")


def test_a_failed_task_that_is_retried_is_listed_as_running(api: Api, agent_id: str, protocol_id: str) -> None:
    agent, path = api.agent(agent_id), f"/agents/{agent_id}/progress"
    agent.post(path, report(protocol_id, "t")).expect(202)
    agent.post(path, report(protocol_id, "t", status="FAILED", error={"message": "node lost"})).expect(202)
    agent.post(path, report(protocol_id, "t", 5)).expect(202)

    assert tasks_of(api, agent_id) == [("t", "FAILED"), ("t", "RUNNING")]


def test_ending_another_task_supersedes_the_running_one(api: Api, agent_id: str, protocol_id: str) -> None:
    api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, "x")).expect(202)
    complete(api, agent_id, protocol_id, "y").expect(202)

    assert tasks_of(api, agent_id) == [("x", "SUPERSEDED"), ("y", "COMPLETED")]
    assert api.admin.get(f"/agents/{agent_id}").expect(200)["currentTask"] is None


def test_an_agent_that_moved_to_another_protocol_is_idle_in_the_first(
    api: Api, agent_id: str, protocol_id: str
) -> None:
    there = make_protocol(api)
    for each in (protocol_id, there):
        api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(each, "scan")).expect(202)

    states = [api.viewer.get(f"/protocols/{each}/state").expect(200)["agents"] for each in (protocol_id, there)]

    assert [[(each["agentId"], each["status"]) for each in state] for state in states] == [
        [(agent_id, "IDLE")],
        [(agent_id, "RUNNING")],
    ]
    assert api.viewer.get(f"/stats?protocolId={protocol_id}").expect(200)["agents"]["busy"] == "0"


def test_an_agent_whose_next_task_is_where_it_worked_is_shown_on_it(api: Api, agent_id: str, protocol_id: str) -> None:
    """It ended a task elsewhere meanwhile, so it has left and is back: it is not IDLE until its next report."""
    there = make_protocol(api)
    api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, "x")).expect(202)
    api.admin.post(f"/agents/{agent_id}/tasks", {"protocolId": protocol_id, "name": "y"}).expect(201)
    complete(api, agent_id, there, "z").expect(202)

    (shown,) = api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)["agents"]
    assert (shown["task"], shown["status"]) == ("y", "RUNNING")
    current = api.admin.get(f"/agents/{agent_id}").expect(200)["currentTask"]
    assert (current["task"], current["version"]) == ("y", shown["version"])
