"""A batch is one request: one transaction, one key, a bounded number of rows, charged by the changes it stores."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from flask import Flask
from sqlalchemy import event, func, select

from app.agents import progress, task_queue
from app.agents.models import AgentTask
from app.core.extensions import db, redis_client
from app.realtime.redis_keys import partition_of, room_key
from tests.factories import make_agent, make_protocol, report, unique
from tests.support.api import Api, Caller

BATCH = "/progress"


@contextmanager
def commits_of_writes(app: Flask) -> Iterator[list[int]]:
    """One entry for each transaction that changed a row: the number of its changing statements."""
    written, finished = [0], []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        written[0] += statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE"))

    def finish(_connection: Any) -> None:
        if written[0]:
            finished.append(written[0])
        written[0] = 0

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", count)
    event.listen(engine, "commit", finish)
    try:
        yield finished
    finally:
        event.remove(engine, "before_cursor_execute", count)
        event.remove(engine, "commit", finish)


def tasks_of(api: Api, agent_id: str) -> list[tuple[str, str]]:
    listed = api.admin.get(f"/agents/{agent_id}/tasks?limit=200").expect(200)["items"]
    return [(each["name"], each["status"]) for each in listed]


def rows_of(app: Flask, agent_id: str) -> int:
    with app.app_context():
        query = select(func.count()).select_from(AgentTask).where(AgentTask.agent_id == agent_id)
        return db.session.scalar(query) or 0


def running(protocol_id: str, agent_id: str, task: str, value: int = 10) -> dict[str, Any]:
    return report(protocol_id, task, value, agentId=agent_id)


def completed(protocol_id: str, agent_id: str, task: str, **more: Any) -> dict[str, Any]:
    return report(protocol_id, task, status="COMPLETED", agentId=agent_id) | more


@pytest.mark.parametrize("known", [True, False], ids=["fast path", "Flask"])
def test_a_batch_that_alternates_between_tasks_stores_the_last_one_in_one_transaction(
    known: bool, api: Api, app: Flask, agent_id: str, protocol_id: str
) -> None:
    agent = api.agent(agent_id)
    agent.post(BATCH, {"updates": [running(protocol_id, agent_id, "a")]}).expect(202)
    if not known:
        app.extensions["known_ids"]["agent"].clear()
    updates = [running(protocol_id, agent_id, "ab"[number % 2 - 1], number % 100) for number in range(500)]

    with commits_of_writes(app) as commits:
        answer = agent.post(BATCH, {"updates": updates}).expect(202)

    assert answer == {"accepted": "500", "rejected": []}
    assert len(commits) <= 1
    assert [name for name, status in tasks_of(api, agent_id) if status == "RUNNING"] == ["a"]
    assert rows_of(app, agent_id) <= 2


def test_all_terminal_updates_of_a_batch_commit_together_in_few_statements(
    api: Api, app: Flask, protocol_id: str
) -> None:
    agents = [make_agent(api) for _ in range(40)]
    updates = [completed(protocol_id, each, "scan", nextTask="fuzz") for each in agents]
    api.admin.post(BATCH, {"updates": [running(protocol_id, each, "scan") for each in agents]}).expect(202)

    with commits_of_writes(app) as commits:
        api.admin.post(BATCH, {"updates": updates}, Idempotency_Key=unique("k")).expect(202)

    # the second one marks the events as published
    assert len(commits) <= 2
    assert commits[0] < 20 + len(agents), "SQLite inserts new rows one by one"
    for each in agents:
        assert tasks_of(api, each) == [("scan", "COMPLETED"), ("fuzz", "RUNNING")]


def test_reports_of_a_batch_take_effect_in_order(api: Api, agent_id: str, protocol_id: str) -> None:
    api.admin.post(f"/agents/{agent_id}/tasks", {"protocolId": protocol_id, "name": "queued"}).expect(201)
    updates = [
        running(protocol_id, agent_id, "one", 50),
        completed(protocol_id, agent_id, "one"),
        completed(protocol_id, agent_id, "queued", nextTask="named"),
        running(protocol_id, agent_id, "named", 5),
        running(protocol_id, agent_id, "last", 7),
    ]

    api.agent(agent_id).post(BATCH, {"updates": updates}).expect(202)

    assert sorted(tasks_of(api, agent_id)) == [
        ("last", "RUNNING"),
        ("named", "SUPERSEDED"),
        ("one", "COMPLETED"),
        ("queued", "COMPLETED"),
    ]
    task = api.viewer.get(f"/agents/{agent_id}").expect(200)["currentTask"]
    assert (task["task"], task["progress"], task["status"]) == ("last", "7", "RUNNING")


def test_a_batch_is_charged_one_request_per_stored_change(app_with) -> None:
    api = app_with(DASHBOARD_REST_PER_TOKEN="20")
    protocol_id, agents = make_protocol(api), [make_agent(api) for _ in range(60)]
    caller = api.admin
    caller.post(BATCH, {"updates": [completed(protocol_id, each, "t") for each in agents]}).expect(202)

    refused = caller.get("/protocols")

    assert (refused.status, refused.headers["retry-after"]) == (429, "1")


def test_an_agents_closed_tasks_stay_bounded(
    api: Api, app: Flask, agent_id: str, protocol_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_queue, "MAX_CLOSED_TASKS", 5)
    monkeypatch.setattr(task_queue, "PRUNE_EVERY", 2)
    agent = api.agent(agent_id)
    for number in range(40):
        body = report(protocol_id, f"t{number}", status="COMPLETED")
        agent.post(f"/agents/{agent_id}/progress", body).expect(202)

    assert rows_of(app, agent_id) <= 5 + 2
    assert tasks_of(api, agent_id)[-1] == ("t39", "COMPLETED")


class TestKey:
    """The Idempotency-Key of a batch."""

    def send(self, caller: Caller, updates: list[dict[str, Any]], key: str = "k") -> Any:
        return caller.post(BATCH, {"updates": updates}, Idempotency_Key=key)

    def test_a_repetition_gets_the_first_response_even_if_an_invalid_update_has_become_valid(
        self, api: Api, agent_id: str, protocol_id: str
    ) -> None:
        late = unique("late")
        updates = [
            completed(protocol_id, late, "x"),
            completed(protocol_id, agent_id, "one"),
            completed(protocol_id, agent_id, "two"),
        ]
        first = self.send(api.admin, updates)
        make_agent(api, id=late)
        again = self.send(api.admin, updates)

        assert first.expect(202)["accepted"] == "2"
        assert (again.status, again.body) == (202, first.body)
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        assert tasks_of(api, agent_id) == [("one", "COMPLETED"), ("two", "COMPLETED")]
        assert tasks_of(api, late) == []

    @pytest.mark.parametrize("status", ["RUNNING", "COMPLETED"])
    def test_the_key_with_another_body_is_a_409_and_changes_nothing(
        self, status: str, api: Api, agent_id: str, protocol_id: str
    ) -> None:
        make = running if status == "RUNNING" else completed
        self.send(api.admin, [make(protocol_id, agent_id, "one")]).expect(202)
        before = api.viewer.get(f"/agents/{agent_id}").expect(200)["currentTask"], tasks_of(api, agent_id)

        refused = self.send(
            api.admin, [running(protocol_id, agent_id, "another", 77), completed(protocol_id, agent_id, "third")]
        )

        assert (refused.status, refused.code) == (409, "IDEMPOTENCY_KEY_REUSED")
        assert (api.viewer.get(f"/agents/{agent_id}").expect(200)["currentTask"], tasks_of(api, agent_id)) == before

    def test_a_repetition_of_running_reports_has_no_second_effect(
        self, api: Api, agent_id: str, protocol_id: str
    ) -> None:
        updates = [running(protocol_id, agent_id, "old", 30)]
        first = self.send(api.admin, updates)
        api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, "new", 5)).expect(202)

        again = self.send(api.admin, updates)

        assert (again.body, again.headers["idempotent-replayed"]) == (first.body, "true")
        assert api.viewer.get(f"/agents/{agent_id}").expect(200)["currentTask"]["task"] == "new"

    def test_a_repetition_finishes_a_request_that_crashed_after_its_commit(
        self, api: Api, agent_id: str, protocol_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = make_agent(api)
        updates = [completed(protocol_id, other, "done"), running(protocol_id, agent_id, "scan", 64)]
        with monkeypatch.context() as crash:
            crash.setattr(progress.limiter, "report", fails)
            assert self.send(api.admin, updates).status == 503

        again = self.send(api.admin, updates)

        assert again.expect(202) == {"accepted": "2", "rejected": []}
        assert again.headers["idempotent-replayed"] == "true"
        state = api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)["agents"]
        assert {each["agentId"]: each["progress"] for each in state}[agent_id] == "64"
        assert tasks_of(api, other) == [("done", "COMPLETED")]

    def test_a_key_also_applies_to_a_single_running_report(self, api: Api, agent_id: str, protocol_id: str) -> None:
        agent, path = api.agent(agent_id), f"/agents/{agent_id}/progress"
        agent.post(path, report(protocol_id, "scan", 1)).expect(202)  # known from now on
        first, again = (agent.post(path, report(protocol_id, "scan", 2), Idempotency_Key="r") for _ in range(2))
        refused = agent.post(path, report(protocol_id, "scan", 3), Idempotency_Key="r")

        assert (again.body, again.headers["idempotent-replayed"]) == (first.body, "true")
        assert (refused.status, refused.code) == (409, "IDEMPOTENCY_KEY_REUSED")


def fails(*_: Any) -> Any:
    raise redis.ConnectionError("gone")


def test_every_keyed_route_repeats_its_response_and_rejects_another_body(
    api: Api, agent_id: str, protocol_id: str
) -> None:
    progress_path = f"/agents/{agent_id}/progress"
    posts = [
        (
            f"/agents/{agent_id}/tasks",
            {"protocolId": protocol_id, "name": "q"},
            {"protocolId": protocol_id, "name": "r"},
        ),
        (progress_path, report(protocol_id, "q", status="COMPLETED"), report(protocol_id, "r", status="COMPLETED")),
        (progress_path, report(protocol_id, "q", 5), report(protocol_id, "q", 6)),
        (
            progress_path,
            report(protocol_id, "q", status="FAILED", error={"message": "m"}),
            report(protocol_id, "q", status="FAILED", error={"message": "n"}),
        ),
    ]
    for number, (path, body, other) in enumerate(posts):
        first, again = (api.admin.post(path, body, Idempotency_Key=f"k{number}") for _ in range(2))
        assert first.status in (201, 202)
        assert (again.status, again.body) == (first.status, first.body)
        assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
        assert api.admin.post(path, other, Idempotency_Key=f"k{number}").code == "IDEMPOTENCY_KEY_REUSED"


def test_a_room_that_fails_does_not_keep_others_from_being_told_of_and_stored(api: Api, in_context: Flask) -> None:
    """As when one of several servers of rooms is down; also by the fast path, which takes agents that it knows."""
    there, agents = make_protocol(api), [make_agent(api) for _ in range(2)]
    here = next(each for each in iter(lambda: make_protocol(api), "") if partition_of(each) != partition_of(there))
    for agent_id, place in zip(agents, (there, here), strict=True):
        api.admin.post(BATCH, {"updates": [running(place, agent_id, "first")]}).expect(202)
    key = room_key(there, "agents")
    redis_client().delete(key)
    redis_client().set(key, "not a hash")

    updates = [running(place, each, "second") for each, place in zip(agents, (there, here), strict=True)]
    reply = api.admin.post(BATCH, {"updates": updates}).expect(202)

    assert reply == {"accepted": "1", "rejected": [{"index": "0", "errors": {"status": ["Redis did not answer."]}}]}
    assert tasks_of(api, agents[1]) == [("first", "SUPERSEDED"), ("second", "RUNNING")]
    assert api.admin.post(BATCH, {"updates": updates[:1]}).status >= 500
    assert api.admin.post(BATCH, {"updates": updates}, Idempotency_Key=unique("key")).status >= 500
