"""Emits events into rooms and drains them: calls the limiter, logs and counts the outcome, schedules the next drain."""

import contextlib
import logging
import time

import redis
from flask import current_app

from app.core.extensions import celery, redis_client, redis_clock
from app.core.queues import DRAIN_TASK
from app.core.redis_connection import redis_time
from app.observability import metrics
from app.realtime import limiter
from app.realtime.redis_keys import DRAIN_KEY, TICK_KEY, room_key, room_of

logger = logging.getLogger(__name__)

DRAIN_QUANTUM_US = 125_000  # drains and beat's ticks together are at most ten tasks a second for any number of rooms
MAX_DRAIN_DELAY_US = 2_000_000
DRAIN_SLACK_US = 2_000_000  # a scheduled drain that is later than this was lost
DISCONNECTED_SECONDS = 300
MAX_CLIENTS = 100
MAX_NAMED_CLIENTS = 20


def emit(protocol_id: str, event_type: str, data_json: str, stored: limiter.StoredEvent | None = None) -> bool:
    """Emit one event into its room; False if Redis failed, after logging the event (spec: Emission failure)."""
    try:
        outcome = limiter.emit(protocol_id, event_type, data_json, stored)
    except redis.RedisError as error:
        log_emission_failure(protocol_id, event_type, data_json, str(error))
        return False
    record_outcome(outcome)
    return True


def log_emission_failure(protocol_id: str, event_type: str, data_json: str, error: str) -> None:
    metrics.EMISSION_FAILURES.labels(event_type).inc()
    event = {"room": room_of(protocol_id), "eventType": event_type, "data": data_json, "error": error}
    logger.error("event.emission_failed", extra=event)


def run_scheduled_drain(planned: int) -> None:
    """Wait for the steady time `planned`, then drain what is due. Raises redis.RedisError.

    The task waits by itself: an ETA is a time of the sender's clock, which the worker would judge by its own.
    Only the scheduled drain clears its marker; any other would start a second chain of drains.
    """
    client = redis_client()
    wait_us = min(planned - limiter.read_steady_time(client), MAX_DRAIN_DELAY_US)
    time.sleep(max(wait_us, 0) / 1e6)
    if client.get(DRAIN_KEY) == str(planned).encode():
        client.delete(DRAIN_KEY)
    drain()


def drain() -> limiter.Outcome:
    """Drain every room that is due, and schedule the next drain. Raises redis.RedisError."""
    outcome = limiter.drain()
    record_outcome(outcome)
    return outcome


def tick() -> None:
    """Drain what is due, and record the time as a sign of life of beat and a worker. Raises redis.RedisError."""
    drain()
    client = redis_client()
    client.set(TICK_KEY, redis_time(client))


def record_outcome(outcome: limiter.Outcome) -> None:
    """Log and count what was emitted, dropped or not delivered, and schedule the next drain."""
    for event_type, count in outcome.emitted.items():
        metrics.EVENTS_EMITTED.labels(event_type).inc(count)
    for wait in outcome.waits_us:
        metrics.PROGRESS_LATENCY.observe(wait / 1e6)
    for dropped in outcome.dropped:
        metrics.EVENTS_DROPPED.labels(dropped["eventType"]).inc()
        logger.warning("event.dropped", extra={"room": room_of(dropped["protocolId"]), **dropped})
    for protocol_id in outcome.rewound:
        metrics.ROOMS_REWOUND.inc()
        cause = "the database is older than Redis"
        logger.warning("room.rewound", extra={"room": room_of(protocol_id), "cause": cause})
    log_undelivered(outcome.undelivered)
    schedule_drain(outcome)


def schedule_drain(outcome: limiter.Outcome) -> None:
    """Schedule a drain for when the next room is due, unless one is scheduled: one at a time for the whole system."""
    if outcome.next_due is None:
        return
    delay_us = max(outcome.next_due - outcome.now, DRAIN_QUANTUM_US)
    if delay_us > MAX_DRAIN_DELAY_US:
        return  # a tick comes first
    at = outcome.now + delay_us
    client = redis_client()
    try:
        scheduled = client.get(DRAIN_KEY)
        if scheduled is not None and outcome.now - DRAIN_SLACK_US < int(scheduled) <= at + DRAIN_QUANTUM_US:
            return
        if not client.set(DRAIN_KEY, at, px=(delay_us + DRAIN_SLACK_US) // 1000, nx=scheduled is None):
            return  # another process was first
        celery.send_task(DRAIN_TASK, (at,), retry=False)
    except Exception as error:  # noqa: BLE001 - any error of the broker's client; beat's next tick drains instead
        metrics.ENQUEUE_FAILURES.labels(DRAIN_TASK).inc()
        logger.warning("drain.schedule_failed", extra={"error": str(error)})


def record_disconnect(protocol_id: str, client: str) -> None:
    """Record that `client` lost its connection while in the protocol's room. Raises redis.RedisError."""
    key = room_key(protocol_id, "disconnected")
    with redis_client().pipeline(transaction=False) as pipe:
        pipe.zadd(key, {client: redis_clock().now()})
        pipe.zremrangebyrank(key, 0, -MAX_CLIENTS - 1)
        pipe.expire(key, DISCONNECTED_SECONDS)
        pipe.execute()


def record_return(protocol_id: str, client: str) -> None:
    """Record that `client` is back in the room. Raises redis.RedisError.

    Uses the shared connection, because many clients that return at once would wait for connections of the pool.
    """
    current_app.extensions["redis_multiplexer"].call("ZREM", room_key(protocol_id, "disconnected"), client)


def log_undelivered(events: list[dict[str, str]]) -> None:
    """Log each event that no process received or disconnected clients missed, with their names; none is sent again."""
    rooms = sorted({event["protocolId"] for event in events})
    disconnected: dict[str, list[str]] = {}
    # one round trip: a drain may report thousands of events
    with contextlib.suppress(redis.RedisError), redis_client().pipeline(transaction=False) as pipe:
        for protocol_id in rooms:
            pipe.zrange(room_key(protocol_id, "disconnected"), 0, MAX_NAMED_CLIENTS - 1, desc=True)
        for protocol_id, names in zip(rooms, pipe.execute(), strict=True):
            disconnected[protocol_id] = [name.decode() for name in names]
    for event in events:
        metrics.EVENTS_UNDELIVERED.labels(event["eventType"]).inc()
        clients = disconnected.get(event["protocolId"]) or ["nobody connected"]
        logger.info("event.undelivered", extra={"room": room_of(event["protocolId"]), **event, "clients": clients})
