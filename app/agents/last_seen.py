"""When agents were last heard, and so which count as online: all by Redis's clock, whatever the hosts' say."""

from collections.abc import Sequence
from typing import Any

import redis

from app.core.redis_clock import redis_clock
from app.realtime.redis_keys import LAST_SEEN_KEY, VERSION_KEY

ONLINE_SECONDS = 120


def last_heard(client: redis.Redis, agent_ids: Sequence[str]) -> list[float | None]:
    """Microseconds of each on Redis's clock: a version is the moment of its report. Raises redis.RedisError.

    After Redis's clock stepped back a version is ahead of it; the moment is then the one kept to count agents.
    """
    versions: list[Any] = client.hmget(VERSION_KEY, agent_ids)
    now = redis_clock().now() * 1e6
    heard = [float(each) if each else None for each in versions]
    ahead = [index for index, each in enumerate(heard) if each is not None and each > now]
    scores: list[Any] = client.zmscore(LAST_SEEN_KEY, [agent_ids[index] for index in ahead]) if ahead else []
    for index, score in zip(ahead, scores, strict=True):
        heard[index] = min(score or now, now)
    return heard


def now_us() -> float:
    """The present moment in microseconds on Redis's clock. Raises redis.RedisError."""
    return redis_clock().now() * 1e6


def is_online(heard_us: float | None, present_us: float) -> bool:
    return heard_us is not None and present_us - heard_us < ONLINE_SECONDS * 1e6
