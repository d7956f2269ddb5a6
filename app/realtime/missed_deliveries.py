"""Events that a client missed: logged with the clients' names, never sent again (spec: Client disconnected)."""

import logging

import redis
from flask import current_app

from app.core.extensions import redis_client, redis_clock
from app.observability import metrics
from app.realtime.redis_keys import absent_key, room_of

logger = logging.getLogger(__name__)

ABSENCE_SECONDS = 300
MAX_CLIENTS = 100
MAX_NAMED_CLIENTS = 20


def record_disconnect(protocol_id: str, client: str) -> None:
    """Record that `client` lost its connection while in the protocol's room. Raises redis.RedisError."""
    key = absent_key(protocol_id)
    with redis_client().pipeline(transaction=False) as pipe:
        pipe.zadd(key, {client: redis_clock().now()})
        pipe.zremrangebyrank(key, 0, -MAX_CLIENTS - 1)
        pipe.expire(key, ABSENCE_SECONDS)
        pipe.execute()


def record_return(protocol_id: str, client: str) -> None:
    """Record that `client` is back in the room. Raises redis.RedisError.

    Uses the shared connection, because many clients that return at once would wait for connections of the pool.
    """
    current_app.extensions["redis_multiplexer"].call("ZREM", absent_key(protocol_id), client)


def log_undelivered(events: list[dict[str, str]]) -> None:
    """Log each event that no process received, or that an absent client missed."""
    absent = _absent_clients(sorted({event["protocolId"] for event in events}))
    for event in events:
        metrics.EVENTS_UNDELIVERED.labels(event["eventType"]).inc()
        clients = absent.get(event["protocolId"]) or ["nobody connected"]
        logger.info("event.undelivered", extra={"room": room_of(event["protocolId"]), **event, "clients": clients})


def _absent_clients(protocol_ids: list[str]) -> dict[str, list[str]]:
    """The absent clients of each room, in one round trip: a drain may report thousands of events."""
    try:
        with redis_client().pipeline(transaction=False) as pipe:
            for protocol_id in protocol_ids:
                pipe.zrange(absent_key(protocol_id), 0, MAX_NAMED_CLIENTS - 1, desc=True)
            found = pipe.execute()
    except redis.RedisError:
        return {}
    return {room: [name.decode() for name in names] for room, names in zip(protocol_ids, found, strict=True)}
