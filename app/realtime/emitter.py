"""The one way to a room: publish an event, give due rooms their turn, tell what happened in logs and metrics."""

import logging
import time

import redis

from app.core.extensions import celery, redis_client
from app.core.queues import DRAIN_TASK
from app.core.redis_connection import redis_time
from app.observability import metrics
from app.realtime import limiter, missed_deliveries
from app.realtime.redis_keys import DRAIN_KEY, TICK_KEY, room_of
from app.realtime.steady_clock import read_steady_time

logger = logging.getLogger(__name__)

DRAIN_QUANTUM_US = 125_000  # drains and beat's tick together: at most ten tasks a second, however many rooms wait
MAX_WAIT_US = 2_000_000  # of a drain for its moment
DRAIN_SLACK_US = 2_000_000  # a drain that is later than that was lost


def emit(protocol_id: str, event_type: str, data_json: str, stored: limiter.StoredEvent | None = None) -> bool:
    """Let one event into its room; False when Redis failed, logged with the whole event (spec: Emission failure)."""
    try:
        outcome = limiter.emit(protocol_id, event_type, data_json, stored)
    except redis.RedisError as error:
        metrics.EMISSION_FAILURES.labels(event_type).inc()
        whole = {"room": room_of(protocol_id), "eventType": event_type, "data": data_json, "error": str(error)}
        logger.error("event.emission_failed", extra=whole)  # noqa: TRY400 - the cause is Redis, not this line
        return False
    record_outcome(outcome)
    schedule_drain(outcome)
    return True


def rewind(protocol_id: str, position: int) -> None:
    """Have a room start over whose database is older than what the room was told. Raises redis.RedisError."""
    record_outcome(limiter.rewind(protocol_id, position))


def run_scheduled_drain(planned: int) -> None:
    """Wait for the steady time for which this drain was scheduled, then release what is due. Raises redis.RedisError.

    The task itself waits: an ETA is a time of the sender's clock, which the worker would judge by its own.
    Only the pending drain clears its marker; anybody else would begin a second chain of drains beside the first.
    """
    client = redis_client()
    wait_us = min(planned - read_steady_time(client), MAX_WAIT_US)
    time.sleep(max(wait_us, 0) / 1e6)
    if client.get(DRAIN_KEY) == str(planned).encode():
        client.delete(DRAIN_KEY)
    drain()


def drain() -> limiter.Outcome:
    """Give every due room its turn, and schedule the next drain. Raises redis.RedisError."""
    outcome = limiter.drain()
    record_outcome(outcome)
    schedule_drain(outcome)
    return outcome


def tick() -> None:
    """Beat's second: release what is due, and leave a sign that beat and a worker do their work."""
    drain()
    client = redis_client()
    client.set(TICK_KEY, redis_time(client))


def record_outcome(outcome: limiter.Outcome) -> None:
    """Log and count what was emitted, lost and sent to absent clients."""
    for event_type, count in outcome.emitted.items():
        metrics.EVENTS_EMITTED.labels(event_type).inc(count)
    for wait in outcome.waits_us:
        metrics.PROGRESS_LATENCY.observe(wait / 1e6)
    for lost in outcome.dropped:
        metrics.EVENTS_DROPPED.labels(lost["eventType"]).inc()
        logger.warning("event.dropped", extra={"room": room_of(lost["protocolId"]), **lost})
    for protocol_id in outcome.rewound:
        metrics.ROOMS_REWOUND.inc()
        logger.warning(
            "room.rewound", extra={"room": room_of(protocol_id), "cause": "the database is older than Redis"}
        )
    missed_deliveries.log_undelivered(outcome.undelivered)


def schedule_drain(outcome: limiter.Outcome) -> None:
    """Have the next due room drained when its moment comes: one pending drain for the whole system."""
    if outcome.next_due is None:
        return
    delay_us = max(outcome.next_due - outcome.now, DRAIN_QUANTUM_US)
    if delay_us > MAX_WAIT_US:
        return  # a tick comes first
    at = outcome.now + delay_us
    client = redis_client()
    try:
        pending = client.get(DRAIN_KEY)
        if pending is not None and outcome.now - DRAIN_SLACK_US < int(pending) <= at + DRAIN_QUANTUM_US:
            return
        if not client.set(DRAIN_KEY, at, px=(delay_us + DRAIN_SLACK_US) // 1000, nx=pending is None):
            return  # another process was first
        celery.send_task(DRAIN_TASK, (at,), retry=False)
    except Exception as error:  # noqa: BLE001 - beat's next tick drains what this could not arrange
        metrics.ENQUEUE_FAILURES.labels(DRAIN_TASK).inc()
        logger.warning("drain.not_scheduled", extra={"error": str(error)})
