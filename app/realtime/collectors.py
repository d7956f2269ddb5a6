"""Gauges of rooms, outbox and clocks, read for each scrape of `/metrics`."""

from sqlalchemy import func, select

from app.core.database import database_now
from app.core.extensions import db, redis_client
from app.observability import metrics, process_registry
from app.observability.collectors import Reading
from app.realtime.events import EventType
from app.realtime.models import OutboxEvent
from app.realtime.redis_keys import DUE_KEY, TICK_KEY, queue_key
from app.realtime.steady_clock import read_steady_time

MAX_SAMPLED_ROOMS = 200


def initialize_counters() -> None:
    """Create the counters of losses at 0, because Prometheus sees no increase of a counter that first appears as 1."""
    for event in EventType:
        metrics.EVENTS_DROPPED.labels(event)
        metrics.EMISSION_FAILURES.labels(event)
    metrics.LIMITED.labels("sockets per process")


def read_rooms() -> list[Reading]:
    """Read the 200 rooms that are due first, which include the latest. Raises redis.RedisError."""
    client = redis_client()
    with client.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.get(TICK_KEY)
        pipe.zcard(DUE_KEY)
        pipe.zrange(DUE_KEY, 0, MAX_SAMPLED_ROOMS - 1, withscores=True)
        (seconds, micros), tick, waiting, first = pipe.execute()
    now = seconds + micros / 1e6
    readings = [
        Reading("dashboard_rooms_waiting", "Rooms in which an event or update waits", {"": float(waiting)}),
        Reading(
            "dashboard_rooms_overdue_seconds",
            "How late the drain of the most overdue room is",
            {"": _overdue_seconds(first, read_steady_time(client))},
        ),
        Reading("dashboard_room_queue_longest", "Events in the longest room queue", {"": _longest_queue(first)}),
        *process_registry.readings(),
        _clock_differences(),
    ]
    if tick is not None:
        readings.append(
            Reading("dashboard_beat_tick_age_seconds", "Seconds since beat's last tick", {"": abs(now - float(tick))})
        )
    return readings


def _overdue_seconds(first: list[tuple[bytes, float]], now_us: int) -> float:
    return max(0.0, (now_us - first[0][1]) / 1e6) if first else 0.0


def _longest_queue(first: list[tuple[bytes, float]]) -> float:
    with redis_client().pipeline(transaction=False) as pipe:
        for protocol_id, _ in first:
            pipe.llen(queue_key(protocol_id.decode()))
        return float(max(pipe.execute(), default=0))


def _clock_differences() -> Reading:
    worst: dict[str, float] = {}
    for each in process_registry.known():
        worst[each.kind] = max(abs(each.clock_ahead), worst.get(each.kind, 0.0))
    about = "Largest difference between Redis's clock and that of a process of this kind"
    return Reading("dashboard_clock_difference_seconds", about, worst, "part")


def read_outbox() -> list[Reading]:
    """Read the unpublished events. Raises SQLAlchemyError."""
    oldest = func.min(OutboxEvent.created_at)
    unpublished = select(func.count(), oldest, database_now()).where(OutboxEvent.published_at.is_(None))
    count, oldest_at, now = db.session.execute(unpublished).one()
    age = (now - oldest_at).total_seconds() if oldest_at else 0.0
    return [
        Reading("dashboard_outbox_waiting", "Stored events not yet emitted into their room", {"": float(count)}),
        Reading(
            "dashboard_outbox_oldest_seconds", "Age of the oldest stored event not yet emitted", {"": max(0.0, age)}
        ),
    ]
