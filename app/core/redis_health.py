"""Whether Redis answers, found out within a second.

A Redis that hangs takes connections and says nothing: who publishes an event or a job waits through every try for
every step. So a request whose change is committed asks first, and leaves the telling to the sweeps.
"""

import time
from dataclasses import dataclass

import redis
from flask import current_app

from app.core.extensions import config
from app.core.redis_connection import connect_redis

REMEMBERED_SECONDS = 1.0


@dataclass
class _Pulse:
    client: redis.Redis
    silent_until: float = 0.0


def is_available() -> bool:
    """One round trip; a silence is remembered for a moment, so that one request does not wait for it twice."""
    pulse = _pulse()
    if time.monotonic() < pulse.silent_until:
        return False
    try:
        return bool(pulse.client.ping())
    except redis.RedisError:
        pulse.silent_until = time.monotonic() + REMEMBERED_SECONDS
        return False


def _pulse() -> _Pulse:
    found: _Pulse | None = current_app.extensions.get("redis_health")
    if found is None:
        found = current_app.extensions["redis_health"] = _Pulse(connect_redis(config().redis_url, retries=0))
    return found
