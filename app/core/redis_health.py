"""Whether Redis answers, known within a second.

A Redis that hangs accepts connections and never replies: a caller that publishes events and enqueues jobs would wait
for the timeout of every retry of every step. A request whose change is committed checks this first, and leaves its
events and jobs to the sweeps.
"""

import time
from dataclasses import dataclass

import redis
from flask import current_app

from app.core.extensions import config
from app.core.redis_connection import connect_redis

REMEMBERED_SECONDS = 1.0


@dataclass
class _RedisHealth:
    client: redis.Redis
    unavailable_until: float = 0.0


def is_available() -> bool:
    """Ping Redis; a failure is remembered for a second, so that one request does not wait for it twice."""
    health = _health()
    if time.monotonic() < health.unavailable_until:
        return False
    try:
        return bool(health.client.ping())
    except redis.RedisError:
        health.unavailable_until = time.monotonic() + REMEMBERED_SECONDS
        return False


def _health() -> _RedisHealth:
    found: _RedisHealth | None = current_app.extensions.get("redis_health")
    if found is None:
        client = connect_redis(config().redis_url, retries=0)
        found = current_app.extensions["redis_health"] = _RedisHealth(client)
    return found
