"""Emits events into rooms and drains them: calls the limiter, logs and counts the outcome, schedules the next drain."""

import logging
import secrets
import time
from collections.abc import Sequence
from typing import cast

import redis
from flask import current_app

from app.core.extensions import celery, redis_client, redis_clock
from app.core.queues import DRAIN_TASK
from app.core.redis_connection import redis_time
from app.core.redis_nodes import RedisNodes
from app.core.values import to_json
from app.observability import metrics
from app.realtime import limiter
from app.realtime.outcome import Outcome
from app.realtime.redis_keys import CONTROL_CHANNEL, DRAIN_KEY, TICK_KEY, room_key, room_of, slot_of_key
from app.realtime.scripts import Call, room_scripts

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


def report(reports: Sequence[limiter.RunningReport]) -> limiter.Taken:
    """Take RUNNING reports, the newest of each agent. Raises redis.RedisError if none was taken."""
    taken = limiter.report(reports)
    if taken.outcome is not None:
        record_outcome(taken.outcome)
    return taken


def run_scheduled_drain(token: str) -> None:
    """Wait until the scheduled drain's time, then drain what is due. Raises redis.RedisError.

    The task waits by itself, by the lifetime of its marker: an ETA is a time of the sender's clock, which the worker
    would judge by its own. Only the scheduled drain clears its marker; any other would start a second chain of drains.
    """
    client = redis_client()
    if client.get(DRAIN_KEY) == token.encode():
        wait_us = min(client.pttl(DRAIN_KEY) * 1000 - DRAIN_SLACK_US, MAX_DRAIN_DELAY_US)
        time.sleep(max(wait_us, 0) / 1e6)
        if client.get(DRAIN_KEY) == token.encode():
            client.delete(DRAIN_KEY)
    drain()


def drain() -> Outcome:
    """Drain every room that is due, and schedule the next drain. Raises redis.RedisError."""
    outcome = limiter.drain()
    record_outcome(outcome)
    return outcome


def tick() -> None:
    """Drain what is due, and record the time as a sign of life of beat and a worker. Raises redis.RedisError."""
    drain()
    client = redis_client()
    client.set(TICK_KEY, redis_time(client))


def record_outcome(outcome: Outcome) -> None:
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
        _request_resync(protocol_id)
    log_undelivered(outcome.undelivered)
    schedule_drain(outcome)


def schedule_drain(outcome: Outcome) -> None:
    """Schedule a drain for when the next room is due, unless one is scheduled: one at a time for the whole system.

    Its marker expires DRAIN_SLACK_US after its time, so that a drain that was lost is replaced.
    """
    if outcome.delay_us is None:
        return
    delay_us = max(outcome.delay_us, DRAIN_QUANTUM_US)
    if delay_us > MAX_DRAIN_DELAY_US:
        return  # a tick comes first
    client, token = redis_client(), secrets.token_hex(8)
    try:
        left_us = client.pttl(DRAIN_KEY) * 1000
        if 0 <= left_us <= DRAIN_SLACK_US + delay_us + DRAIN_QUANTUM_US:
            return
        if not client.set(DRAIN_KEY, token, px=(delay_us + DRAIN_SLACK_US) // 1000, nx=left_us < 0):
            return  # another process was first
        celery.send_task(DRAIN_TASK, (token,), retry=False)
    except Exception as error:  # noqa: BLE001 - any error of the broker's client; beat's next tick drains instead
        metrics.ENQUEUE_FAILURES.labels(DRAIN_TASK).inc()
        logger.warning("drain.schedule_failed", extra={"error": str(error)})


def record_disconnect(protocol_id: str, client: str) -> None:
    """Record that `client` lost its connection while in the protocol's room. Raises redis.RedisError."""
    arguments = (client, redis_clock().now(), MAX_CLIENTS, DISCONNECTED_SECONDS)
    room_scripts().run(Call("disconnect", (room_key(protocol_id, "disconnected"),), arguments))


def record_return(protocol_id: str, client: str) -> None:
    """Record that `client` is back in the room. Raises redis.RedisError."""
    key = room_key(protocol_id, "disconnected")
    rooms_redis().call(slot_of_key(key), "ZREM", key, client)


def log_undelivered(events: list[dict[str, str]]) -> None:
    """Log each event that no process received or disconnected clients missed, with their names; none is sent again."""
    rooms = sorted({event["protocolId"] for event in events})
    keys = [room_key(protocol_id, "disconnected") for protocol_id in rooms]
    # one round trip: a drain may report thousands of events
    calls = [(slot_of_key(key), ("ZRANGE", key, 0, MAX_NAMED_CLIENTS - 1, "REV")) for key in keys]
    try:
        replies = rooms_redis().execute(calls) if calls else []
    except redis.RedisError as error:  # the events have left, so the caller must not fail
        replies = [error] * len(calls)
    disconnected = {
        protocol_id: [] if isinstance(names, redis.RedisError) else [name.decode() for name in names]
        for protocol_id, names in zip(rooms, replies, strict=True)
    }
    for event in events:
        metrics.EVENTS_UNDELIVERED.labels(event["eventType"]).inc()
        clients = disconnected[event["protocolId"]] or ["nobody connected"]
        logger.info("event.undelivered", extra={"room": room_of(event["protocolId"]), **event, "clients": clients})


def _request_resync(protocol_id: str) -> None:
    """Let the room's clients fetch its state at once; without it they do so at the gap before the next event."""
    try:
        redis_client().publish(CONTROL_CHANNEL, to_json({"method": "resync", "protocolId": protocol_id}))
    except redis.RedisError as error:
        logger.warning("resync.request_failed", extra={"room": room_of(protocol_id), "error": str(error)})


def rooms_redis() -> RedisNodes:
    """The running app's Redis servers of the rooms."""
    return cast(RedisNodes, current_app.extensions["rooms_redis"])
