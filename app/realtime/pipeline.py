"""The one way to a room: publish an event, give due rooms their turn, tell what happened in logs and metrics."""

import logging

import redis

from app.extensions import celery, redis_client
from app.observability import metrics
from app.queues import DRAIN_TASK
from app.realtime import absent, meter
from app.realtime.rooms import DRAIN_KEY, TICK_KEY, room_of

logger = logging.getLogger(__name__)

DRAIN_QUANTUM_US = 125_000  # drains and beat's tick together: at most ten tasks a second, however many rooms wait
DRAIN_SLACK_MS = 2_000


def publish(protocol_id: str, event_type: str, data_json: str, position: int | None = None) -> bool:
    """Let one event into its room; False when Redis failed, logged with the whole event (spec: Emission failure)."""
    try:
        outcome = meter.publish(protocol_id, event_type, data_json, position)
    except redis.RedisError as error:
        metrics.EMISSION_FAILURES.labels(event_type).inc()
        whole = {"room": room_of(protocol_id), "eventType": event_type, "data": data_json, "error": str(error)}
        logger.error("event.emission_failed", extra=whole)  # noqa: TRY400 - the cause is Redis, not this line
        return False
    tell(outcome)
    schedule_drain(outcome)
    return True


def release_due(planned: int | None = None) -> meter.Outcome:
    """Give every due room its turn, and arrange the next drain. Raises redis.RedisError.

    `planned`: for when this drain was arranged. Nobody but the pending drain takes its mark away: whoever did would
    begin a second chain of drains beside the first. A mark whose drain was lost expires.
    """
    client = redis_client()
    if planned is not None and client.get(DRAIN_KEY) == str(planned).encode():
        client.delete(DRAIN_KEY)
    outcome = meter.drain()
    tell(outcome)
    schedule_drain(outcome)
    return outcome


def tick() -> None:
    """Beat's second: release what is due, and leave a sign that beat and a worker do their work."""
    outcome = release_due()
    redis_client().set(TICK_KEY, outcome.now / 1e6)


def tell(outcome: meter.Outcome) -> None:
    """Log and count what was emitted, lost and sent to absent clients."""
    for event_type, count in outcome.emitted.items():
        metrics.EVENTS_EMITTED.labels(event_type).inc(count)
    for wait in outcome.waits_us:
        metrics.PROGRESS_LATENCY.observe(wait / 1e6)
    for lost in outcome.dropped:
        metrics.EVENTS_DROPPED.labels(lost["eventType"]).inc()
        logger.warning("event.dropped", extra={"room": room_of(lost["protocolId"]), **lost})
    absent.tell_undelivered(outcome.undelivered)


def schedule_drain(outcome: meter.Outcome) -> None:
    """Have the next due room drained when its moment comes: one pending drain for the whole system."""
    if outcome.next_due is None:
        return
    delay_us = max(outcome.next_due - outcome.now, DRAIN_QUANTUM_US)
    at = outcome.now + delay_us
    lifetime_ms = delay_us // 1000 + DRAIN_SLACK_MS
    client = redis_client()
    try:
        pending = client.get(DRAIN_KEY)
        if pending is not None and int(pending) <= at + DRAIN_QUANTUM_US:
            return
        if not client.set(DRAIN_KEY, at, px=lifetime_ms, nx=pending is None):
            return  # another process was first
        celery.send_task(DRAIN_TASK, (at,), countdown=delay_us / 1e6, expires=lifetime_ms / 1000, retry=False)
    except Exception as error:  # noqa: BLE001 - beat's next tick drains what this could not arrange
        metrics.ENQUEUE_FAILURES.labels(DRAIN_TASK).inc()
        logger.warning("drain.not_scheduled", extra={"error": str(error)})
