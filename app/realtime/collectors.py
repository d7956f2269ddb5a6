"""Gauges of rooms, outbox and clocks, read for each scrape of `/metrics`."""

from sqlalchemy import func, select

from app.core.extensions import db, redis_client
from app.core.sql_types import database_now
from app.observability import metrics, process_registry
from app.observability.collectors import Reading
from app.realtime.agent_records import read
from app.realtime.emitter import rooms_redis
from app.realtime.events import EventType
from app.realtime.outbox import OutboxEvent
from app.realtime.outcome import Outcome
from app.realtime.redis_keys import TICK_KEY, all_keys, room_key
from app.realtime.room_groups import due_rooms
from app.realtime.scripts import room_scripts

MAX_SAMPLED_ROOMS = 200


def initialize_counters() -> None:
    """Create the counters of losses at 0, because Prometheus sees no increase of a counter that first appears as 1."""
    for event in EventType:
        metrics.EVENTS_DROPPED.labels(event)
        metrics.EMISSION_FAILURES.labels(event)
    metrics.LIMITED.labels("sockets per process")


def read_rooms() -> list[Reading]:
    """Read the rooms that are due first, 200 at most, which include the latest. Raises redis.RedisError."""
    (seconds, micros), tick = redis_client().time(), redis_client().get(TICK_KEY)
    nodes, dues = rooms_redis(), all_keys("due")
    counts = read(nodes, *(("ZCARD", key) for key in dues))
    busy = [key for key, count in zip(dues, counts, strict=True) if count]
    sampled = read(nodes, *(("ZRANGE", key, 0, MAX_SAMPLED_ROOMS // len(busy)) for key in busy))
    rooms = [room.decode() for found in sampled for room in found]
    longest = float(max(read(nodes, *(("LLEN", room_key(room, "queue")) for room in rooms)), default=0))
    overdue = max((late / 1e6 for late, _ in due_rooms(room_scripts(), Outcome())), default=0.0)
    clocks: dict[str, float] = {}
    for each in process_registry.known():
        clocks[each.kind] = max(abs(each.clock_ahead), clocks.get(each.kind, 0.0))
    about_clocks = "Largest difference between Redis's clock and that of a process of this kind"
    readings = [
        Reading("dashboard_rooms_waiting", "Rooms in which an event or update waits", {"": float(sum(counts))}),
        Reading("dashboard_rooms_overdue_seconds", "How late the drain of the most overdue room is", {"": overdue}),
        Reading("dashboard_room_queue_longest", "Events in the longest room queue", {"": longest}),
        *process_registry.readings(),
        Reading("dashboard_clock_difference_seconds", about_clocks, clocks, "part"),
    ]
    if tick is not None:
        age = abs(seconds + micros / 1e6 - float(tick))
        readings.append(Reading("dashboard_beat_tick_age_seconds", "Seconds since beat's last tick", {"": age}))
    return readings


def read_outbox() -> list[Reading]:
    """Read the unpublished events. Raises SQLAlchemyError."""
    oldest = func.min(OutboxEvent.created_at)
    unpublished = select(func.count(), oldest, database_now()).where(OutboxEvent.published_at.is_(None))
    count, oldest_at, now = db.session.execute(unpublished).one()
    age = max(0.0, (now - oldest_at).total_seconds()) if oldest_at else 0.0
    return [
        Reading("dashboard_outbox_waiting", "Stored events not yet emitted into their room", {"": float(count)}),
        Reading("dashboard_outbox_oldest_seconds", "Age of the oldest stored event not yet emitted", {"": age}),
    ]
