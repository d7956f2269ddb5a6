"""When agents last reported and whether they are online. Times are microseconds of Redis's clock."""

from collections.abc import Sequence
from typing import Any

import redis

from app.core.extensions import redis_clock
from app.realtime.redis_keys import LAST_SEEN_KEY, VERSION_KEY

ONLINE_SECONDS = 120


def last_seen_us(client: redis.Redis, agent_ids: Sequence[str]) -> list[float | None]:
    """The time of each agent's last report; None if it never reported. Raises redis.RedisError.

    An agent's version is the time of its last report. After Redis's clock stepped back a version can lie in the
    future; the time recorded for counting agents replaces it.
    """
    versions: list[Any] = client.hmget(VERSION_KEY, agent_ids)
    now = now_us()
    seen = [float(each) if each else None for each in versions]
    future = [index for index, each in enumerate(seen) if each is not None and each > now]
    scores: list[Any] = client.zmscore(LAST_SEEN_KEY, [agent_ids[index] for index in future]) if future else []
    for index, score in zip(future, scores, strict=True):
        seen[index] = min(score or now, now)
    return seen


def now_us() -> float:
    """The current time. Raises redis.RedisError."""
    return redis_clock().now() * 1e6


def is_online(seen_us: float | None, at_us: float) -> bool:
    return seen_us is not None and at_us - seen_us < ONLINE_SECONDS * 1e6
