"""After any change by any process the state is as one that is made anew, and so is what recognizes an unchanged one."""

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from app.agents import reported
from app.core.values import iso_timestamp
from app.payments import settlement
from app.payments.rules import PaymentStatus
from app.realtime import emitter, limiter, retention
from app.realtime.redis_keys import room_keys
from app.realtime.scripts import Call, room_scripts
from app.vulnerabilities import queries
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.support.api import Answer, Api
from tests.support.redis_clock import age_memory, movable_clock
from tests.support.seeds import SEED

STEPS = 60
AHEAD = (-3600.0, -0.2, 0.5, 0.5, 0.5, 60.0, 119.0, 150.0, 86_390.0, 86_500.0)


class StoppedClock:
    """Redis's clock as the processes know it; it stands while states are compared."""

    def __init__(self, set_redis: Callable[[float], Any]) -> None:
        self._set_redis, self.redis_ahead, self.ahead = set_redis, 0.0, 0.5
        self.set_redis(0.0)

    def set_redis(self, ahead: float) -> None:
        """As an administrator sets the clock of the host of Redis."""
        self.redis_ahead = ahead
        self._set_redis(ahead)
        self.stop()

    def stop(self) -> None:
        self.time = time.time() + self.redis_ahead + self.ahead

    def now(self) -> float:
        return self.time


class Changes:
    """Random requests to one of two processes, and jobs of a worker."""

    def __init__(self, apps: list[Flask], apis: list[Api], clock: StoppedClock, cases: random.Random) -> None:
        self.apps, self.apis, self.clock, self.cases = apps, apis, clock, cases
        self.id, self.other = make_protocol(apis[0]), make_protocol(apis[0])
        self.agents = [make_agent(apis[0]) for _ in range(3)]
        self.findings: list[str] = []
        self.payments: list[str] = []
        self.leases: list[Any] = []
        deposit(apis[0], self.id, "1000")

    @property
    def api(self) -> Api:
        return self.cases.choice(self.apis)

    def run(self) -> str:
        names = [name for name in sorted(vars(type(self))) if name.startswith("do_")]
        name = self.cases.choice(names)
        with self.cases.choice(self.apps).app_context():
            getattr(self, name)()
        return name

    def _post(self, caller: Any, path: str, body: Any) -> Any:
        answer = caller.post(path, body)
        assert answer.status in {200, 201, 202, 409, 422}, answer
        return answer.json if answer.status < 300 else None

    def do_deposit(self) -> None:
        deposit(self.api, self.id, self.cases.choice(("1", "2.5")))

    def do_file(self) -> None:
        for _ in range(self.cases.randint(1, 3)):
            bounty = {"bounty": "3"} if self.cases.random() < 0.5 else {}
            self.findings.append(file_vulnerability(self.api, self.id, description="é" * 9, **bounty)["id"])

    def do_confirm(self) -> None:
        for finding in self.cases.sample(self.findings, min(2, len(self.findings))):
            body = {"bounty": "4"} if self.cases.random() < 0.3 else {}
            self._post(self.api.validator, f"/vulnerabilities/{finding}/confirm", body)

    def do_reject(self) -> None:
        for finding in self.findings and [self.cases.choice(self.findings)]:
            self._post(self.api.validator, f"/vulnerabilities/{finding}/reject", {"reason": "No."})

    def do_request_payment(self) -> None:
        for finding in self.cases.sample(self.findings, min(3, len(self.findings))):
            amount = self.cases.choice(({}, {"amount": "2"}))
            body = {"recipient": "0xabc"} | amount
            made = self._post(self.api.owner, f"/vulnerabilities/{finding}/payment", body)
            self.payments += [made["id"]] if made else []

    def do_lease(self) -> None:
        for payment in self.payments and [self.cases.choice(self.payments)]:
            leased = settlement.acquire(payment)
            self.leases += [leased] if leased else []

    def do_end_lease(self) -> None:
        if self.leases:
            status = self.cases.choice((PaymentStatus.PENDING, PaymentStatus.FAILED, PaymentStatus.FAILED))
            settlement.release(self.leases.pop(), status, "HTTP 500", -5.0, unpaid_attempts=1)

    def do_settle(self) -> None:
        for payment in self.payments and [self.cases.choice(self.payments)]:
            settlement.settle(payment)

    def do_retry_or_cancel(self) -> None:
        for payment in self.payments:
            change = self.cases.choice(("retry", "cancel"))
            self._post(self.api.owner, f"/payments/{payment}/{change}", {})

    def _report(self, **fields: Any) -> None:
        agent, place = self.cases.choice(self.agents), self.cases.choice((self.id, self.id, self.other))
        body = report(place, task=self.cases.choice("ab"), progress=self.cases.randint(0, 99)) | fields
        self._post(self.api.agent(agent), f"/agents/{agent}/progress", body)

    def do_report(self) -> None:
        self._report()

    def do_report_more(self) -> None:
        self._report()

    def do_complete(self) -> None:
        self._report(status="COMPLETED", nextTask=self.cases.choice((None, "b")))

    def do_fail(self) -> None:
        self._report(status="FAILED", error=self.cases.choice(("out of gas", {"code": "E1", "message": "x"})))

    def do_report_batch(self) -> None:
        updates = []
        for _ in range(self.cases.randint(1, 6)):
            status = self.cases.choice(({}, {}, {"status": "COMPLETED"}, {"status": "FAILED", "error": "x"}))
            place = self.cases.choice((self.id, self.other, "unknown"))
            updates.append(
                report(place, task=self.cases.choice("abc"), agentId=self.cases.choice(self.agents)) | status
            )
        self._post(self.api.admin, "/progress", {"updates": updates})

    def do_queue_task(self) -> None:
        agent, place = self.cases.choice(self.agents), self.cases.choice((self.id, self.other))
        self._post(self.api.admin, f"/agents/{agent}/tasks", {"protocolId": place, "name": "c"})

    def do_make_agent(self) -> None:
        if len(self.agents) < 8:
            self.agents.append(make_agent(self.api))

    def do_drain(self) -> None:
        emitter.record_outcome(limiter.drain())

    def do_let_time_pass(self) -> None:
        self.clock.ahead = self.cases.choice(AHEAD)

    def do_set_redis_clock(self) -> None:
        self.clock.set_redis(self.cases.choice((0, -40, 3600)))

    def do_forget_agents(self) -> None:
        if self.cases.random() < 0.3:
            silence = self.cases.choice((-1, 5_000_000, retention.AGENT_SILENCE_US))
            room_scripts().run(Call("forget_agents", room_keys(self.id), (self.id, silence, 500)))

    def do_lose_redis(self) -> None:
        if self.cases.random() < 0.2:
            client = self.apps[0].extensions["redis"]
            client.flushdb()
            age_memory(client)
            self.clock.set_redis(self.clock.redis_ahead)


@pytest.fixture
def clock(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoppedClock]:
    with app.app_context(), movable_clock(monkeypatch) as set_redis:
        yield StoppedClock(set_redis)


def test_each_state_is_as_one_that_is_made_anew(
    app: Flask, api: Api, app_with: Callable[..., Api], clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes keep what they made; a third makes every state anew."""
    monkeypatch.setattr(reported, "MAX_SHOWN", 5)
    monkeypatch.setattr(queries, "MAX_OPEN_SHOWN", 8)
    apis = [api, app_with(), app_with()]
    apps = [app, *(each.transport.client.application for each in apis[1:])]
    for each in apps:
        monkeypatch.setitem(each.extensions, "redis_clock", clock)
    cases = random.Random(SEED)
    changes = Changes(apps[:2], apis[:2], clock, cases)
    path, tags, unchanged = f"/protocols/{changes.id}/state", ["none", "none"], 0

    for step in range(STEPS):
        name = f"{changes.run()} in step {step}"
        clock.stop()
        asked = [number for number in (0, 1) if cases.random() < 0.7]
        served = {number: apis[number].viewer.get(path, If_None_Match=tags[number]) for number in asked}
        shown = {number: apis[number].viewer.get(path).expect(200) for number in asked if cases.random() < 0.7}
        made = made_anew(apps[2], apis[2], path)
        for number, answer in served.items():
            assert answer.headers["etag"] == made.headers["etag"], name
            assert (answer.status == 304) == (tags[number] == answer.headers["etag"]), name
            unchanged += answer.status == 304
            tags[number] = answer.headers["etag"]
        for state in shown.values():
            assert state | {"asOf": ""} == made.json | {"asOf": ""}, name
        check_presence(apps[2], clock, made.json["agents"], name)
    assert unchanged


def made_anew(app: Flask, api: Api, path: str) -> Answer:
    app.extensions["snapshots"].clear()
    for cached in (reported._state_of, reported._describe, reported._parse_record):
        cached.cache_clear()
    return api.viewer.get(path)


def check_presence(app: Flask, clock: StoppedClock, agents: list[dict[str, Any]], name: str) -> None:
    """It is as `GET /agents` says."""
    with app.app_context():
        seen = reported.last_seen_us([each["agentId"] for each in agents])
    for agent, seen_us in zip(agents, seen, strict=True):
        status, at = reported.presence(seen_us, clock.now() * 1e6)
        assert (agent["presence"], agent["lastSeen"]) == (status, at and iso_timestamp(at)), (name, agent)
