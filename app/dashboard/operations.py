"""The system's state for the operators' page: rooms, agents, backlogs and processes, in few round trips."""

import logging
from typing import Any

from flask import current_app
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from app.agents.reported import ONLINE_SECONDS
from app.core.database import utc_now
from app.core.extensions import db, redis_client, redis_clock
from app.core.sql_types import database_now
from app.observability import metrics, process_registry
from app.realtime import redis_keys
from app.realtime.agent_records import read
from app.realtime.emitter import rooms_redis
from app.realtime.limiter import queued_at
from app.realtime.outbox import OutboxEvent
from app.sockets.connections import connections_by_protocol

logger = logging.getLogger(__name__)

MAX_ROOMS = 200
BUDGET = 10
QUEUE_CAPACITY = 100
DROP_SHOWN_US = 10 * 60 * 1_000_000  # a room without connections is listed this long after its last dropped event
COMMANDS_PER_ROOM = 7
COUNTERS = {
    "dashboard_events_emitted_total": "emitted",
    "dashboard_events_dropped_total": "dropped",
    "dashboard_events_undelivered_total": "undelivered",
    "dashboard_emission_failures_total": "failures",
    "dashboard_limited_total": "limited",
}
GAUGES = (
    "dashboard_outbox", "dashboard_payments_", "dashboard_celery_queue", "dashboard_beat", "dashboard_room",
    "dashboard_source_up", "dashboard_clock_difference", "dashboard_ledger_mismatches", "dashboard_redis_memory",
    "dashboard_webhooks", "dashboard_webhook_events", "dashboard_webhook_deliveries_pending",
    "dashboard_webhook_oldest_due",
)  # fmt: skip


def read_status() -> dict[str, Any]:
    events, readings = _measured()
    server, known = redis_client().info("server"), process_registry.known()
    return {
        "asOf": utc_now(),
        "rooms": _rooms(),
        "agents": _agents(),
        "events": events,
        "readings": readings,
        "processes": [
            {
                "kind": each.kind,
                "process": each.label,
                "version": each.version,
                "python": each.python,
                "silentSeconds": int(each.silent_seconds) if each.is_silent else None,
                "lastSignSeconds": int(each.silent_seconds),
            }
            for each in known
        ],
        "faults": process_registry.faults(known),
        "versions": {
            "redis": str(server.get("valkey_version") or server.get("redis_version")),
            "database": db.engine.dialect.name,
        },
    }


def _rooms() -> list[dict[str, Any]]:
    """Return the rooms with connections, with waiting events or with events dropped lately."""
    nodes, connections, unsent = rooms_redis(), connections_by_protocol(), _unsent()
    now = int(redis_clock().now() * 1e6)
    dropped = (now - DROP_SHOWN_US, "+inf", "BYSCORE", "LIMIT", 0, MAX_ROOMS)
    commands: list[tuple[Any, ...]] = [
        ("ZRANGE", key, 0, MAX_ROOMS // redis_keys.PARTITIONS) for key in redis_keys.all_keys("due")
    ]
    commands += [("ZRANGE", key, *dropped) for key in redis_keys.all_keys("dropped")]
    listed = [room.decode() for found in read(nodes, *commands) for room in found]
    ids = {*connections, *unsent, *listed}
    shown = sorted(ids, key=lambda each: (-unsent.get(each, 0.0), -connections.get(each, 0)))[:MAX_ROOMS]
    answers = read(nodes, *(command for each in shown for command in _room_commands(each)))
    rows = [answers[at : at + COMMANDS_PER_ROOM] for at in range(0, len(answers), COMMANDS_PER_ROOM)]
    return [
        {
            "protocolId": each,
            "connections": connections.get(each, 0),
            **_describe_room(row, now, unsent.get(each)),
        }
        for each, row in zip(shown, rows, strict=True)
    ]


def _room_commands(protocol_id: str) -> list[tuple[Any, ...]]:
    partition = redis_keys.partition_of(protocol_id)
    return [
        ("LLEN", redis_keys.room_key(protocol_id, "queue")),
        ("LRANGE", redis_keys.room_key(protocol_id, "window"), 0, BUDGET - 1),
        ("ZCARD", redis_keys.room_key(protocol_id, "waiting")),
        ("HMGET", redis_keys.room_key(protocol_id, "state"), "seq", "dropped"),
        ("ZSCORE", redis_keys.partition_key(partition, "dropped"), protocol_id),
        ("LINDEX", redis_keys.room_key(protocol_id, "queue"), 0),
        ("GET", redis_keys.partition_key(partition, "clock")),
    ]


def _unsent() -> dict[str, float]:
    """Seconds since the oldest stored event that was not yet emitted, for the rooms where it is oldest."""
    oldest, row = func.min(OutboxEvent.created_at), OutboxEvent
    query = select(row.protocol_id, oldest, database_now()).where(row.published_at.is_(None))
    try:
        rows = db.session.execute(query.group_by(row.protocol_id).order_by(oldest).limit(MAX_ROOMS)).all()
    except SQLAlchemyError as error:
        logger.warning("operations.outbox_unread", extra={"error": str(error)})
        db.session.rollback()
        return {}
    return {protocol_id: max(0.0, (now - at).total_seconds()) for protocol_id, at, now in rows}


def _describe_room(row: list[Any], now: int, unsent_seconds: float | None) -> dict[str, Any]:
    queued, window, waiting, (seq, dropped), dropped_at, head, clock = row
    steady = now + (int(clock.split()[1]) if clock else 0)
    queued_seconds = None if head is None else max(0.0, now / 1e6 - queued_at(head).timestamp())
    ages = [age for age in (queued_seconds, unsent_seconds) if age is not None]
    return {
        "oldestSeconds": round(max(ages), 1) if ages else None,
        "queued": queued,
        "capacity": QUEUE_CAPACITY,
        "used": sum(float(at) > steady - 1_000_000 for at in window),
        "budget": BUDGET,
        "agentsWaiting": waiting,
        "seq": int(seq or 0),
        "dropped": int(dropped or 0),
        "secondsSinceDrop": None if dropped_at is None else max(0, int((now - float(dropped_at)) / 1e6)),
    }


def _agents() -> dict[str, int]:
    since = (redis_clock().now() - ONLINE_SECONDS) * 1e6
    seen, busy = redis_keys.all_keys("last_seen"), redis_keys.all_keys("busy")
    commands: list[tuple[Any, ...]] = [("ZCARD", key) for key in seen]
    commands += [("ZCOUNT", key, since, "+inf") for key in (*seen, *busy)]
    counts, partitions = read(rooms_redis(), *commands), redis_keys.PARTITIONS
    known, online, at_work = (sum(counts[at * partitions : (at + 1) * partitions]) for at in range(3))
    return {"known": known, "online": online, "busy": at_work}


def _measured() -> tuple[dict[str, int], dict[str, float]]:
    """Return the events counted by this machine's processes, and depths and ages of the whole system.

    The latter are those of the outbox, payments, Celery's queues and beat's last tick.
    """
    events: dict[str, int] = dict.fromkeys(COUNTERS.values(), 0)
    readings: dict[str, float] = {}
    families = [*metrics.registry().collect(), *current_app.extensions["state_collector"].collect()]
    for sample in (sample for family in families for sample in family.samples):
        if sample.name in COUNTERS:
            events[COUNTERS[sample.name]] += int(sample.value)
        elif sample.name.startswith(GAUGES) and not sample.name.endswith(("_total", "_created")):
            label = next(iter(sample.labels.values()), "")
            readings[f"{sample.name.removeprefix('dashboard_')} {label}".strip()] = sample.value
    return events, readings
