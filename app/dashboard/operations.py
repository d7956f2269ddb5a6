"""How the system is: what `/ops` shows, read afresh each time. Numbers are strings, as in all answers."""

import platform
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from app.database import utc_now
from app.extensions import db, redis_client
from app.observability import health
from app.realtime import presence
from app.realtime.rooms import BUSY_KEY, DUE_KEY, HEARD_KEY, queue_key, sent_key
from app.wire import to_wire

MOST_ROOMS = 200
BUDGET = 10
QUEUE_CAPACITY = 100
ONLINE_SECONDS = 120
COUNTED = {
    "emitted": "dashboard_events_emitted_total",
    "dropped": "dashboard_events_dropped_total",
    "undelivered": "dashboard_events_undelivered_total",
    "failures": "dashboard_emission_failures_total",
    "limited": "dashboard_limited_total",
}


def status() -> dict[str, Any]:
    """Raises redis.RedisError, SQLAlchemyError."""
    samples = _samples()
    read = {
        "asOf": utc_now(),
        "rooms": _rooms(),
        "agents": _agents(),
        "events": {name: _sum(samples, metric) for name, metric in COUNTED.items()},
        "readings": _readings(samples),
        "processes": _processes(),
        "versions": _versions(),
    }
    answer: dict[str, Any] = to_wire(read)
    return answer


def _rooms() -> list[dict[str, Any]]:
    """Rooms with connections or with something waiting: how full, how busy."""
    client = redis_client()
    connections = presence.connections_by_protocol()
    waiting: list[Any] = client.zrange(DUE_KEY, 0, MOST_ROOMS - 1)
    due = [room.decode() for room in waiting]
    ids = sorted({*connections, *due}, key=lambda each: -connections.get(each, 0))[:MOST_ROOMS]
    with client.pipeline(transaction=False) as pipe:
        pipe.time()
        for each in ids:
            pipe.llen(queue_key(each))
            pipe.lrange(sent_key(each), 0, BUDGET - 1)
            pipe.zcard(f"room:{each}:running")
            pipe.get(f"room:{each}:seq")
        (seconds, micros), *answers = pipe.execute()
    second_ago = (seconds - 1) * 1_000_000 + micros
    rows = [answers[at : at + 4] for at in range(0, len(answers), 4)]
    return [
        {
            "protocolId": each,
            "connections": connections.get(each, 0),
            "queued": queued,
            "capacity": QUEUE_CAPACITY,
            "used": sum(float(at) > second_ago for at in sent),
            "budget": BUDGET,
            "agentsWaiting": running,
            "seq": int(seq or 0),
        }
        for each, (queued, sent, running, seq) in zip(ids, rows, strict=True)
    ]


def _agents() -> dict[str, int]:
    client = redis_client()
    since = (time.time() - ONLINE_SECONDS) * 1e6
    with client.pipeline(transaction=False) as pipe:
        pipe.zcard(HEARD_KEY)
        pipe.zcount(HEARD_KEY, since, "+inf")
        pipe.zcount(BUSY_KEY, since, "+inf")
        known, online, busy = pipe.execute()
    return {"known": known, "online": online, "busy": busy}


def _processes() -> list[str]:
    """Web processes that lately said that they live."""
    since = time.time() - presence.LIFETIME_SECONDS
    living: list[Any] = redis_client().zrangebyscore(presence.PROCESSES_KEY, since, "+inf")
    return sorted(process.decode() for process in living)


def _versions() -> dict[str, str]:
    server = redis_client().info("server")
    try:
        own = version("dashboard-realtime")
    except PackageNotFoundError:
        own = "from source"
    return {
        "dashboard": own,
        "python": platform.python_version(),
        "redis": str(server.get("valkey_version") or server.get("redis_version")),
        "database": db.engine.dialect.name,
    }


def _samples() -> list[Any]:
    """Everything that `/metrics` tells: counts of all processes of this machine, and readings of the whole system."""
    text = health.prometheus().get_data(as_text=True)
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def _sum(samples: list[Any], name: str) -> int:
    return int(sum(sample.value for sample in samples if sample.name == name))


def _readings(samples: list[Any]) -> dict[str, float]:
    """Depths and ages that are read, not counted: outbox, payments, Celery's queues, beat's last tick."""
    parts = ("dashboard_outbox", "dashboard_payments_", "dashboard_celery_queue", "dashboard_beat", "dashboard_rooms")
    found: dict[str, float] = {}
    for sample in samples:
        if sample.name.startswith(parts) and not sample.name.endswith(("_total", "_created")):
            label = next(iter(sample.labels.values()), "")
            found[f"{sample.name.removeprefix('dashboard_')} {label}".strip()] = sample.value
    return found
