"""The data of release 0.1, in both databases and in Redis, is complete after the upgrade.

The rows and keys have the form in which `dashboard up` of release 0.1 (commit f7b4ad3) wrote them.
"""

import hashlib
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from app.core.extensions import db, redis_client
from app.core.migration import upgrade
from app.http.idempotency import IdempotencyKey
from app.realtime import emitter, limiter, outbox
from app.realtime.outbox import OutboxEvent
from app.realtime.redis_keys import room_key
from tests.factories import unique
from tests.support.api import Api
from tests.support.money import books

NOW = datetime.now(UTC).replace(microsecond=0)
VERSION = int(NOW.timestamp() * 1e6)
ENTRY = {"vulnerability_id": None, "payment_id": None, "reference": None, "actor": "owner-1", "created_at": NOW}
FINDING = {"title": "paid", "severity": "HIGH"}
DECIDED = {"severity_rank": 1, "severity": "HIGH", "filed_by": "admin", "decided_by": "admin", "version": 3}


def task(agent_id: str, name: str, status: str, version: int) -> dict[str, Any]:
    progress = {"RUNNING": "42", "COMPLETED": "100"}[status]
    data = {"agentId": agent_id, "task": name, "progress": progress, "status": status, "estimatedCompletion": None}
    return data | {"error": None, "nextTask": None, "version": str(version)}


def entry(protocol_id: str, version: int, change: str, amount: int, *sums: int, **about: Any) -> dict[str, Any]:
    names = ("total_minor", "reserved_minor", "paid_minor")
    row = {"id": f"e-{version}", "protocol_id": protocol_id, "version": version, "change_type": change}
    return ENTRY | row | {"amount_minor": amount} | dict(zip(names, sums, strict=True)) | about


def vulnerability(protocol_id: str, name: str, **fields: Any) -> dict[str, Any]:
    row = {"id": name, "protocol_id": protocol_id, "title": name, "description": None, "agent_id": None}
    times = {"created_at": NOW, "updated_at": NOW, "rejection_reason": None}
    return DECIDED | row | times | fields


def payment(protocol_id: str, name: str, **fields: Any) -> dict[str, Any]:
    row = {"id": f"p-{name}", "vulnerability_id": name, "protocol_id": protocol_id, "currency": "USDC", "attempts": 1}
    return row | {"recipient": "0xabc", "requested_by": "owner-1", "due_at": NOW, "created_at": NOW} | fields


def key(name: str, path: str, body: Any, response: Any) -> dict[str, Any]:
    """An Idempotency-Key, with the fingerprint as release 0.1 computed it."""
    request = f"POST /api/v1{path}\n{json.dumps(body, sort_keys=True, separators=(',', ':'))}"
    row = {"subject": "admin-1", "key": name, "fingerprint": hashlib.sha256(request.encode()).hexdigest()}
    return row | {"status": 201, "created_at": NOW, "body": json.dumps(response)}


def batch(protocol_id: str) -> dict[str, Any]:
    report = {"agentId": "done", "protocolId": protocol_id, "status": "COMPLETED", "progress": 100}
    return {"updates": [report | {"task": "first"}, report | {"task": "second"}]}


def rows_of_0_1(one: str, other: str) -> dict[str, list[dict[str, Any]]]:
    """Two protocols: `one` has a pool of 1000, of which 100 are paid and 200 reserved for a payment that failed."""
    pool = {"currency": "USDC", "total_minor": 10**9, "reserved_minor": 2 * 10**8, "paid_minor": 10**8, "version": 4}
    failed = {"bounty_minor": 2 * 10**8, "reserved_minor": 2 * 10**8, "payment_id": "p-failed"}
    released = {"amount_minor": 10**8, "reference": "ref", "released_at": NOW, "failure_reason": None}
    refused = {"amount_minor": 2 * 10**8, "reference": None, "released_at": None, "failure_reason": "HTTP 422"}
    agent = {"type": "RESEARCHER", "created_at": NOW}
    paid = {"vulnerability_id": "paid", "payment_id": "p-paid"}
    event = {"event_type": "bounty_pool:updated", "request_id": "r", "created_at": NOW, "data_json": '{"version":"4"}'}
    part = hashlib.sha256(b"retried").hexdigest()
    return {
        "protocols": [{"id": each, "name": each, "currency": "USDC", "created_at": NOW} for each in (one, other)],
        "bounty_pools": [
            pool | {"protocol_id": one},
            {"protocol_id": other, "currency": "EUR", "version": 0} | dict.fromkeys(list(pool)[1:4], 0),
        ],
        "vulnerabilities": [
            vulnerability(one, "paid", status="PAID", bounty_minor=10**8, reserved_minor=0, payment_id="p-paid"),
            vulnerability(one, "failed", status="CONFIRMED", **failed),
        ],
        "payments": [
            payment(one, "paid", status="RELEASED", **released),
            payment(one, "failed", status="FAILED", **refused),
        ],
        "bounty_entries": [
            entry(one, 1, "DEPOSIT", 10**9, 10**9, 0, 0),
            entry(one, 2, "RESERVATION", 10**8, 10**9, 10**8, 0, vulnerability_id="paid"),
            entry(one, 3, "PAYMENT_RELEASED", 10**8, 10**9, 0, 10**8, **paid),
            entry(one, 4, "RESERVATION", 2 * 10**8, 10**9, 2 * 10**8, 10**8, vulnerability_id="failed"),
        ],
        "agents": [
            agent | {"id": name, "name": name, "task_protocol_id": room, "task_data": data}
            for name, room, data in (
                ("busy", one, task("busy", "scan", "RUNNING", VERSION)),
                ("moved", other, task("moved", "other", "RUNNING", VERSION + 1)),
                ("done", one, task("done", "second", "COMPLETED", VERSION)),
                ("idle", None, sa.null()),
            )
        ],
        "agent_tasks": [
            {"agent_id": agent_id, "protocol_id": one, "name": name, "status": status, "created_at": NOW}
            for agent_id, name, status in (
                ("busy", "scan", "RUNNING"), ("busy", "next", "QUEUED"),
                ("done", "first", "COMPLETED"), ("done", "second", "COMPLETED"),
            )
        ],
        "event_counters": [{"protocol_id": one, "position": 3}, {"protocol_id": other, "position": 0}],
        "outbox_events": [
            event | {"protocol_id": one, "position": position, "published_at": at}
            for position, at in ((1, NOW), (2, None), (3, None))
        ],
        "revoked_tokens": [
            {"token_id": token_id, "subject": subject, "reason": "lost", "revoked_by": "admin", "revoked_at": NOW}
            for token_id, subject in (("lost", None), (None, "former"))
        ],
        "idempotency_keys": [
            key("filed", f"/protocols/{one}/vulnerabilities", FINDING, {"id": "paid"}),
            *(key(f"{index}:{part}", "/progress", batch(one), {"accepted": "1"}) for index in range(2)),
        ],
    }  # fmt: skip


def write_rows(rows: dict[str, list[dict[str, Any]]]) -> None:
    tables = sa.MetaData()
    tables.reflect(db.engine)
    with db.engine.begin() as connection:
        for table, values in rows.items():
            for each in values:
                connection.execute(tables.tables[table].insert().values(each))


def write_keys(one: str, other: str) -> None:
    """The second stored event of `one` waits in its room's queue: 0.1 was killed before it could mark its row."""
    states = {
        one: [task("busy", "scan", "RUNNING", VERSION), task("moved", "own", "COMPLETED", VERSION)],
        other: [task("moved", "other", "RUNNING", VERSION + 1)],
    }
    event = {"eventType": "bounty_pool:updated", "timestamp": "", "seq": "SEQ", "data": {"version": "4"}}
    queued = {"method": "emit", "event": "bounty_pool:updated", "data": [event], "room": f"protocol:VIEW{one}"}
    message = json.dumps(queued, separators=(",", ":")).replace("SEQ", "\1").replace("VIEW", "\2")
    with redis_client().pipeline() as pipe:
        pipe.mset({f"room:{one}:seq": 7, f"room:{other}:seq": 1, f"room:{one}:outbox": 2})
        pipe.rpush(f"room:{one}:queue", f"7 - - bounty_pool:updated {message}")
        pipe.zadd("rooms:due", {one: VERSION})
        for protocol_id, datas in states.items():
            latest = {data["agentId"]: json.dumps(data, separators=(",", ":")) for data in datas}
            pipe.hset(f"room:{protocol_id}:latest", mapping=latest)
        pipe.hset("agents:version", mapping={"busy": VERSION, "moved": VERSION + 1, "done": VERSION})
        pipe.hset("agents:on", mapping={"busy": f"{one} scan", "moved": f"{other} other", "done": f"{one} "})
        pipe.hset("agents:turned", mapping={"busy": VERSION, "moved": VERSION + 1, "done": VERSION})
        pipe.zadd("agents:heard", {"busy": VERSION, "moved": VERSION + 1, "done": VERSION})
        pipe.execute()


@pytest.fixture
def upgraded(migrated: tuple[Flask, Api]) -> SimpleNamespace:
    """The system of this release on the data of 0.1; `one` and `other` are its protocols."""
    app, api = migrated
    one, other = unique("P"), unique("P")
    upgrade("0005")
    write_rows(rows_of_0_1(one, other))
    write_keys(one, other)
    upgrade()
    limiter.current_seq(one)  # the first connection of a process renames the keys
    return SimpleNamespace(app=app, api=api, one=one, other=other)


def test_pools_entries_and_payments_are_unchanged(upgraded) -> None:
    viewer, path = upgraded.api.viewer, f"/protocols/{upgraded.one}"
    pool = viewer.get(f"{path}/pool").expect(200)
    entries = viewer.get(f"{path}/pool/entries").expect(200)["items"]
    payments = viewer.get(f"{path}/payments").expect(200)["items"]

    sums = [pool[name] for name in ("total", "available", "reserved", "paid", "version")]
    assert sums == ["1000.00", "700.00", "200.00", "100.00", "4"]
    assert sorted(each["amount"] for each in entries) == ["100.00", "100.00", "1000.00", "200.00"]
    assert {each["id"]: each["status"] for each in payments} == {"p-paid": "RELEASED", "p-failed": "FAILED"}
    assert books(upgraded.app) == []


def test_a_payment_that_failed_in_0_1_can_be_retried(upgraded) -> None:
    assert upgraded.api.owner.post("/payments/p-failed/retry", {}).expect(202)["status"] == "PENDING"


def test_a_payment_that_failed_in_0_1_can_be_cancelled_and_its_vulnerability_paid_anew(upgraded) -> None:
    owner = upgraded.api.owner
    cancelled = owner.post("/payments/p-failed/cancel").expect(200)
    anew = owner.post("/vulnerabilities/failed/payment", {"recipient": "0xdef", "amount": "800.00"}).expect(202)

    assert (cancelled["status"], cancelled["version"], anew["version"]) == ("CANCELLED", "2", "1")
    assert books(upgraded.app) == []


def test_the_state_shows_every_agent_that_0_1_showed(upgraded) -> None:
    def tasks(protocol_id: str) -> list[tuple[str, ...]]:
        agents = upgraded.api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)["agents"]
        return [(each["agentId"], each["task"], each["status"]) for each in agents]

    assert tasks(upgraded.one) == [
        ("busy", "scan", "RUNNING"),
        ("done", "second", "COMPLETED"),
        ("moved", "own", "COMPLETED"),
    ]
    assert tasks(upgraded.other) == [("moved", "other", "RUNNING")]


def test_each_room_knows_when_its_agents_were_last_seen_and_which_are_busy(upgraded) -> None:
    last_seen, busy = (
        redis_client().zrange(room_key(upgraded.one, part), 0, -1, withscores=True) for part in ("last_seen", "busy")
    )

    assert last_seen == [(b"busy", VERSION), (b"moved", VERSION)]
    assert busy == [(b"busy", VERSION)]


def test_a_repeated_request_gets_the_response_of_0_1(upgraded) -> None:
    path = f"/protocols/{upgraded.one}/vulnerabilities"
    stored = upgraded.api.viewer.get("/vulnerabilities/paid").body.decode()
    with db.engine.begin() as connection:
        connection.execute(sa.update(IdempotencyKey).where(IdempotencyKey.key == "filed").values(body=stored))

    repeated = upgraded.api.admin.post(path, FINDING, Idempotency_Key="filed")

    assert (repeated.status, repeated.headers["idempotent-replayed"]) == (201, "true")
    assert repeated.json == json.loads(stored)
    assert len(upgraded.api.viewer.get(path).expect(200)["items"]) == 2


def test_a_repeated_batch_is_not_stored_again(upgraded) -> None:
    again = upgraded.api.admin.post("/progress", batch(upgraded.one), Idempotency_Key="retried").expect(202)

    assert again == {"accepted": "2", "rejected": []}
    assert len(upgraded.api.viewer.get("/agents/done/tasks").expect(200)["items"]) == 2


def test_tokens_of_0_1_work_unless_they_were_revoked(upgraded) -> None:
    issued = int(NOW.timestamp()) - 60
    codes = [
        upgraded.api.as_("viewer", iat=issued, **claims).get(f"/protocols/{upgraded.one}").status
        for claims in ({"jti": "kept"}, {"jti": "lost"}, {"sub": "former"})
    ]

    assert codes == [200, 401, 401]


def test_queued_and_waiting_events_are_emitted_once_and_in_order(upgraded, emissions) -> None:
    assert outbox.relay(upgraded.one) == 2
    emitter.drain()

    assert [each.seq for each in emissions.wait_for(upgraded.one, 2, 10)] == [7, 8]
    assert db.session.scalar(sa.select(sa.func.count()).where(OutboxEvent.published_at.is_(None))) == 0
