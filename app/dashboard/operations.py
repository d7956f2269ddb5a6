"""The state of the system for `/ops`, read anew for each request. Numbers are strings, as in all answers."""

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from app.agents.reported import ONLINE_SECONDS
from app.core.database import utc_now
from app.core.extensions import db, redis_client, redis_clock
from app.core.values import to_wire
from app.http import health
from app.observability import process_registry
from app.realtime.limiter import read_steady_time
from app.realtime.redis_keys import (
    BUSY_KEY,
    DROPPED_AT_KEY,
    DROPPED_KEY,
    DUE_KEY,
    LAST_SEEN_KEY,
    room_key,
)
from app.sockets.connections import connections_by_protocol

MAX_ROOMS = 200
BUDGET = 10
QUEUE_CAPACITY = 100
DROP_SHOWN_US = 10 * 60 * 1_000_000  # a room without connections is listed this long after its last dropped event
COMMANDS_PER_ROOM = 6
COUNTERS = {
    "emitted": "dashboard_events_emitted_total",
    "dropped": "dashboard_events_dropped_total",
    "undelivered": "dashboard_events_undelivered_total",
    "failures": "dashboard_emission_failures_total",
    "limited": "dashboard_limited_total",
}
GAUGES = (
    "dashboard_outbox", "dashboard_payments_", "dashboard_celery_queue", "dashboard_beat", "dashboard_rooms",
)  # fmt: skip


def status() -> dict[str, Any]:
    """Raises redis.RedisError, SQLAlchemyError."""
    samples = _samples()
    state = {
        "asOf": utc_now(),
        "rooms": _rooms(),
        "agents": _agents(),
        "events": {name: _sum(samples, metric) for name, metric in COUNTERS.items()},
        "readings": _gauges(samples),
        **_processes(),
        "versions": _versions(),
    }
    answer: dict[str, Any] = to_wire(state)
    return answer


def _rooms() -> list[dict[str, Any]]:
    """Return the rooms with connections, with waiting events or with events dropped lately."""
    client = redis_client()
    connections = connections_by_protocol()
    with client.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.zrange(DUE_KEY, 0, MAX_ROOMS - 1)
        pipe.zrange(DROPPED_AT_KEY, 0, MAX_ROOMS - 1, desc=True, withscores=True)
        (seconds, micros), waiting, dropping = pipe.execute()
    now, steady = seconds * 1_000_000 + micros, read_steady_time(client)
    dropped = [room.decode() for room, at in dropping if now - at < DROP_SHOWN_US]
    due = [room.decode() for room in waiting]
    ids = sorted({*connections, *due, *dropped}, key=lambda each: -connections.get(each, 0))[:MAX_ROOMS]
    with client.pipeline(transaction=False) as pipe:
        for each in ids:
            _read_room(pipe, each)
        answers = pipe.execute()
    rows = [answers[at : at + COMMANDS_PER_ROOM] for at in range(0, len(answers), COMMANDS_PER_ROOM)]
    return [
        {"protocolId": each, "connections": connections.get(each, 0), **_describe_room(row, now, steady)}
        for each, row in zip(ids, rows, strict=True)
    ]


def _read_room(pipe: Any, protocol_id: str) -> None:
    pipe.llen(room_key(protocol_id, "queue"))
    pipe.lrange(room_key(protocol_id, "window"), 0, BUDGET - 1)
    pipe.zcard(room_key(protocol_id, "waiting"))
    pipe.get(room_key(protocol_id, "seq"))
    pipe.hget(DROPPED_KEY, protocol_id)
    pipe.zscore(DROPPED_AT_KEY, protocol_id)


def _describe_room(row: list[Any], now: int, steady: int) -> dict[str, Any]:
    queued, window, waiting, seq, dropped, dropped_at = row
    return {
        "queued": queued,
        "capacity": QUEUE_CAPACITY,
        "used": sum(float(at) > steady - 1_000_000 for at in window),
        "budget": BUDGET,
        "agentsWaiting": waiting,
        "seq": int(seq or 0),
        "dropped": int(dropped or 0),
        "secondsSinceDrop": None if dropped_at is None else max(0, int((now - dropped_at) / 1e6)),
    }


def _agents() -> dict[str, int]:
    client = redis_client()
    since = (redis_clock().now() - ONLINE_SECONDS) * 1e6
    with client.pipeline(transaction=False) as pipe:
        pipe.zcard(LAST_SEEN_KEY)
        pipe.zcount(LAST_SEEN_KEY, since, "+inf")
        pipe.zcount(BUSY_KEY, since, "+inf")
        known, online, busy = pipe.execute()
    return {"known": known, "online": online, "busy": busy}


def _processes() -> dict[str, Any]:
    """Return each process with the seconds since its last sign of life, and the fault of each role that has one."""
    known = process_registry.known()
    shown = [
        {
            "kind": each.kind,
            "process": each.label,
            "version": each.version,
            "python": each.python,
            "silentSeconds": int(each.silent_seconds) if each.is_silent else None,
        }
        for each in known
    ]
    return {"processes": shown, "faults": process_registry.faults(known)}


def _versions() -> dict[str, str]:
    server = redis_client().info("server")
    return {
        "redis": str(server.get("valkey_version") or server.get("redis_version")),
        "database": db.engine.dialect.name,
    }


def _samples() -> list[Any]:
    """Return the samples of `/metrics`: counters of this machine's processes, and gauges of the whole system."""
    text = health.prometheus().get_data(as_text=True)
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def _sum(samples: list[Any], name: str) -> int:
    return int(sum(sample.value for sample in samples if sample.name == name))


def _gauges(samples: list[Any]) -> dict[str, float]:
    """Return depths and ages: of the outbox, payments, Celery's queues and beat's last tick."""
    found: dict[str, float] = {}
    for sample in samples:
        if sample.name.startswith(GAUGES) and not sample.name.endswith(("_total", "_created")):
            label = next(iter(sample.labels.values()), "")
            found[f"{sample.name.removeprefix('dashboard_')} {label}".strip()] = sample.value
    return found
