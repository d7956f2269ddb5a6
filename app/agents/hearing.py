"""When agents were last heard, and so which count as online: all by Redis's clock, whatever the hosts' say."""

from collections.abc import Sequence
from typing import Any

import redis

from app.realtime.rooms import VERSION_KEY

ONLINE_SECONDS = 120


def last_heard(client: redis.Redis, agent_ids: Sequence[str]) -> list[float | None]:
    """Microseconds of each: a version is the moment of its report. Raises redis.RedisError."""
    versions: list[Any] = client.hmget(VERSION_KEY, agent_ids)
    return [float(each) if each else None for each in versions]


def now_us(client: redis.Redis) -> float:
    """The present moment in microseconds. Raises redis.RedisError."""
    seconds, micros = client.time()
    return float(seconds * 1_000_000 + micros)


def is_online(heard_us: float | None, present_us: float) -> bool:
    return heard_us is not None and present_us - heard_us < ONLINE_SECONDS * 1e6
