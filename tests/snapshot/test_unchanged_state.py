"""A state that has not changed is recognized without being made, and each change of it by each route is noticed."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from psycopg.pq import TransactionStatus
from sqlalchemy import event, update

from app.agents import reported
from app.agents.models import Agent
from app.core.database import transaction, utc_now
from app.core.extensions import db
from app.payments import settlement
from app.payments.models import Payment
from app.payments.rules import PaymentStatus
from app.realtime import emitter, limiter
from app.realtime.outbox import OutboxEvent
from app.realtime.redis_keys import room_key, room_keys
from app.realtime.scripts import Call, room_scripts
from app.snapshot import service
from app.vulnerabilities import queries as vulnerabilities
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.support.api import Api
from tests.support.emissions import await_marks
from tests.support.money import confirmed, funded_protocol, request_payment
from tests.support.redis_clock import movable_clock

Step = Callable[[], Any]


class Watched:
    """A protocol's state, asked for again and again with the newest known entity tag."""

    def __init__(self, app: Flask, api: Api, protocol_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.app, self.api, self.id, self._patch = app, api, protocol_id, monkeypatch
        self.tag = ""

    def ask(self) -> Any:
        path = f"/protocols/{self.id}/state"
        return self.api.viewer.get(path, **({"If_None_Match": self.tag} if self.tag else {}))

    def check(self, name: str) -> None:
        """The reply is 304 exactly if a state made anew says the same, then again without making one."""
        reply = self.ask()
        with self.app.app_context():
            self.app.extensions["snapshots"].clear()
            _, made_anew = service.render(self.id, batches=False)
        known = self.tag.removeprefix('W/"').removesuffix('"')
        assert (reply.status == 304) == (made_anew == known), name
        assert reply.headers["etag"] == f'W/"{made_anew}"', name
        self.tag = reply.headers["etag"]

    def check_each(self, steps: dict[str, Step]) -> None:
        self.check("at first")
        for name, step in steps.items():
            before = self.tag
            step()
            self.check(name)
            assert self.tag != before, f"{name} does not change the state"
            with nothing_made(self._patch):
                assert self.ask().status == 304, name


@contextmanager
def nothing_made(patch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a part of the state was made")

    with patch.context() as inner:
        inner.setattr(reported, "snapshot_section", refuse)
        inner.setattr(vulnerabilities, "snapshot_section", refuse)
        inner.setattr(service, "render", refuse)
        yield


class Clock:
    """Stands in for the process's copy of Redis's clock, which a busy machine lets step."""

    ahead = 1.0

    def now(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setitem(app.extensions, "redis_clock", clock)
    return clock


@pytest.fixture
def watch(app: Flask, api: Api, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Callable[[str], Watched]:
    del clock
    return lambda protocol_id: Watched(app, api, protocol_id, monkeypatch)


def test_each_change_of_money_is_noticed(app: Flask, api: Api, watch: Callable[[str], Watched]) -> None:
    protocol_id = funded_protocol(api)
    paid, refused = confirmed(api, protocol_id), confirmed(api, protocol_id)
    rejected = file_vulnerability(api, protocol_id, bounty="1.00")["id"]
    payments: dict[str, str] = {}

    def request(path: str) -> Step:
        return lambda: payments.update({path: request_payment(api, path)["id"]})

    def in_app(work: Step) -> Step:
        def run() -> None:
            with app.app_context():
                work()

        return run

    def release(path: str, status: PaymentStatus, delay: float = 0.0) -> Step:
        return in_app(lambda: settlement.release(leased[path], status, "HTTP 500", delay))

    def change(model: Any, key: Any, **values: Any) -> Step:
        def run() -> None:
            with transaction() as session:
                session.execute(update(model).where(model.id == payments.get(key, key)).values(**values))

        return in_app(run)

    leased: dict[str, Any] = {}

    def lease(path: str) -> Step:
        def run() -> None:
            leased[path] = settlement.acquire(payments[path])

        return in_app(run)

    watch(protocol_id).check_each({
        "deposit": lambda: deposit(api, protocol_id, "5"),
        "filing": lambda: file_vulnerability(api, protocol_id, bounty="2.00"),
        "rejection": lambda: api.validator.post(f"/vulnerabilities/{rejected}/reject", {"reason": "No."}).expect(200),
        "confirmation": lambda: confirmed(api, protocol_id, None),
        "payment requested": request(paid),
        "attempt": lease(paid),
        "attempt failed": release(paid, PaymentStatus.PENDING, 60.0),
        "attempt postponed": change(Payment, paid, due_at=utc_now() + timedelta(hours=1)),
        "attempt due": change(Payment, paid, due_at=utc_now() - timedelta(hours=1)),
        "paid": in_app(lambda: settlement.settle(payments[paid])),
        "another payment": request(refused),
        "its attempt": lease(refused),
        "refused": release(refused, PaymentStatus.FAILED),
        "retried": lambda: api.owner.post(f"/payments/{payments[refused]}/retry", {}).expect(202),
    })  # fmt: skip


def test_each_change_of_an_agent_is_noticed(app: Flask, api: Api, watch: Callable[[str], Watched]) -> None:
    protocol_id, other, agent = make_protocol(api), make_protocol(api), make_agent(api)
    second, third = make_agent(api), make_agent(api)

    def told(protocol: str, who: str = agent, **fields: Any) -> Step:
        body = report(protocol, **fields)
        return lambda: api.agent(who).post(f"/agents/{who}/progress", body).expect(202)

    def in_room(operation: str, *args: Any) -> Step:
        def run() -> None:
            with app.app_context():
                room_scripts().run(Call(operation, room_keys(protocol_id), (protocol_id, *args)))

        return run

    def drain() -> None:
        with app.app_context():
            emitter.record_outcome(limiter.drain())

    def emit_all() -> None:
        while int(api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)["seq"]) == 0:
            drain()

    def start_late(version: int) -> Step:
        """The start of a task that is stored after later ones, which Redis does not know any more."""

        def run() -> None:
            with app.app_context(), transaction() as session:
                task = {
                    "agentId": third,
                    "task": "late",
                    "status": "RUNNING",
                    "progress": "0",
                    "version": str(version),
                }
                task |= dict.fromkeys(("estimatedCompletion", "error", "nextTask"))
                values = {"task_protocol_id": protocol_id, "task_data": task, "task_status": "RUNNING"}
                session.execute(update(Agent).where(Agent.id == third).values(task_version=version, **values))

        return run

    watch(protocol_id).check_each({
        "first report": told(protocol_id),
        "next report": told(protocol_id, progress=20),
        "the same again": told(protocol_id, progress=20),
        "batch": lambda: api.admin.post(
            "/progress", {"updates": [report(protocol_id, progress=30) | {"agentId": agent}]}
        ).expect(202),
        "event": emit_all,
        "end and next task": told(protocol_id, status="COMPLETED", nextTask="fuzz"),
        "failure": told(protocol_id, task="fuzz", status="FAILED", error="out of gas"),
        "work elsewhere": told(other),
        "more work elsewhere": told(other, progress=50),
        "return": told(protocol_id, progress=60),
        "second agent": told(protocol_id, who=second, task="lint"),
        "it leaves": told(other, who=second, task="lint"),
        "a task stored late": start_late(1),
        "another late one": start_late(2),
        "versions allocated": in_room("allocate_versions", agent, "0"),
        "agents forgotten": in_room("forget_agents", -1, 500),
    })  # fmt: skip


def test_time_changes_a_state_by_itself(api: Api, watch: Callable[[str], Watched], clock: Clock) -> None:
    protocol_id, agent = make_protocol(api), make_agent(api)
    api.agent(agent).post(f"/agents/{agent}/progress", report(protocol_id, status="COMPLETED")).expect(202)
    watched = watch(protocol_id)
    watched.check("at first")
    seen = [watched.tag]
    for seconds in (60, 150, 24 * 3600 - 300, 24 * 3600 + 1):
        clock.ahead = seconds
        watched.check(f"{seconds} s later")
        seen.append(watched.tag)
    assert [seen.index(each) for each in seen] == [0, 0, 2, 2, 4], "unchanged, OFFLINE, still shown, not shown"


def test_a_silent_agent_becomes_offline_after_redis_clock_was_set_back(app, api, watch, clock, monkeypatch) -> None:
    """Its version lies in the future then, so it does not tell when it was seen."""
    protocol_id, agent = make_protocol(api), make_agent(api)
    with app.app_context(), movable_clock(monkeypatch) as set_redis_clock:
        for offset in (3600, 0):
            set_redis_clock(offset)
            api.agent(agent).post(f"/agents/{agent}/progress", report(protocol_id)).expect(202)
    watched = watch(protocol_id)
    watched.check("at first")
    clock.ahead = 150

    watched.check("later")

    (shown,) = api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)["agents"]
    described = api.viewer.get(f"/agents/{agent}").expect(200)
    assert (shown["presence"], shown["lastSeen"]) == ("OFFLINE", described["lastSeen"])


def test_another_memory_or_database_makes_the_state_anew(app, api, settings, valkey, watch) -> None:
    """Also if its numbers are the same: a memory that was lost, and a database that was restored from a copy."""
    protocol_id, agent = make_protocol(api), make_agent(api)
    file_vulnerability(api, protocol_id)
    api.agent(agent).post(f"/agents/{agent}/progress", report(protocol_id)).expect(202)

    def restore_database() -> None:
        with app.app_context(), transaction() as session:
            session.execute(update(OutboxEvent).values(created_at=utc_now() + timedelta(seconds=1)))

    def lose_memory() -> None:
        key = room_key(protocol_id, "state")
        with valkey.client(int(settings.redis_url.rpartition("/")[2])) as client:
            numbers = client.hgetall(key)
            client.flushdb()
            client.hset(key, mapping=numbers)

    watched = watch(protocol_id)
    watched.check("at first")
    for happen in (restore_database, lose_memory):
        with app.app_context():
            assert service.known_tag(protocol_id, batches=False)
            happen()
            assert service.known_tag(protocol_id, batches=False) is None
        watched.check(happen.__name__)


def test_a_view_with_batches_has_a_tag_of_its_own(api: Api) -> None:
    protocol_id = make_protocol(api)
    deposit(api, protocol_id, "1")
    path = f"/protocols/{protocol_id}/state"
    tags = [api.viewer.get(path + query).headers["etag"] for query in ("", "?agentBatches=true")]
    assert tags[0] != tags[1]
    for tag, query in zip(tags, ("", "?agentBatches=true"), strict=True):
        assert api.viewer.get(path + query, If_None_Match=tag).status == 304


def test_an_unchanged_part_is_not_made_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    protocol_id, agent = funded_protocol(api), make_agent(api)
    file_vulnerability(api, protocol_id)
    body = report(protocol_id, status="COMPLETED", nextTask="fuzz")
    api.agent(agent).post(f"/agents/{agent}/progress", body).expect(202)
    made: list[str] = []
    for module, name in ((reported, "agents"), (vulnerabilities, "vulnerabilities")):
        section = module.snapshot_section
        monkeypatch.setattr(
            module, "snapshot_section", lambda *args, _make=section, _name=name: made.append(_name) or _make(*args)
        )

    def parts_made_after(step: Step) -> list[str]:
        made.clear()
        step()
        state = api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)
        assert json.dumps(state)
        return made.copy()

    steps = [
        lambda: None,
        lambda: deposit(api, protocol_id, "1"),
        lambda: file_vulnerability(api, protocol_id),
        lambda: api.agent(agent).post(f"/agents/{agent}/progress", body).expect(202),
        lambda: None,
    ]
    assert [parts_made_after(step) for step in [lambda: None, *steps]] == [
        ["agents", "vulnerabilities"], [], [], ["vulnerabilities"], ["agents"], [],
    ]  # fmt: skip


@pytest.mark.parametrize("make", [make_protocol, funded_protocol])
def test_an_unchanged_state_is_recognized_by_one_statement_without_a_transaction(
    in_context: Flask, api: Api, make: Callable[[Api], str]
) -> None:
    path = f"/protocols/{make(api)}/state"
    await_marks()
    tag = api.viewer.get(path).headers["etag"]
    seen: list[tuple[str, bool]] = []

    def note(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        driver = cursor.connection
        if db.engine.dialect.name == "sqlite":
            in_transaction = driver.in_transaction
        else:
            in_transaction = driver.info.transaction_status != TransactionStatus.IDLE
        seen.append((statement.split(maxsplit=1)[0], in_transaction))

    event.listen(db.engine, "after_cursor_execute", note)
    try:
        assert api.viewer.get(path, If_None_Match=tag).status == 304
    finally:
        event.remove(db.engine, "after_cursor_execute", note)

    assert seen == [("SELECT", False)]
