"""When agents were last heard, and so which count as online."""

import time
from collections.abc import Sequence
from typing import Any

import redis

from app.realtime.rooms import VERSION_KEY

ONLINE_SECONDS = 120


def last_heard(client: redis.Redis, agent_ids: Sequence[str]) -> list[float | None]:
    """Microseconds of each: a version is the moment of its report. Raises redis.RedisError."""
    versions: list[Any] = client.hmget(VERSION_KEY, agent_ids)
    return [float(each) if each else None for each in versions]


def is_online(heard_us: float | None) -> bool:
    return heard_us is not None and time.time() - heard_us / 1e6 < ONLINE_SECONDS
