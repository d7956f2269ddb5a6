"""Redis's clock, by which processes of several hosts compare times."""

import time
from typing import cast

import redis
from flask import current_app

from app.core.extensions import redis_client
from app.core.redis_connection import redis_time

FRESH_SECONDS = 5.0
RETRY_SECONDS = 1.0


class RedisClock:
    """Reads Redis's time at most every five seconds and goes on by the monotonic clock in between."""

    def __init__(self) -> None:
        self._time: float | None = None
        self._asked_at = self._ask_at = float("-inf")
        self._difference = 0.0

    def now(self) -> float:
        """Seconds on Redis's clock. Raises redis.RedisError if Redis has never answered."""
        if time.monotonic() >= self._ask_at:
            self._ask()
        if self._time is None:
            raise redis.ConnectionError("Redis's clock is not known yet.")
        return self._time + time.monotonic() - self._asked_at

    def difference(self) -> float:
        """Seconds by which this process's wall clock is ahead of Redis's. Raises as `now` does."""
        self.now()
        return self._difference

    def _ask(self) -> None:
        asked_at, wall = time.monotonic(), time.time()
        try:
            self._time = redis_time(redis_client())
        except redis.RedisError:
            if self._time is None:
                raise
            self._ask_at = time.monotonic() + RETRY_SECONDS
            return
        self._asked_at = time.monotonic()
        self._ask_at = self._asked_at + FRESH_SECONDS
        self._difference = wall + (self._asked_at - asked_at) / 2 - self._time


def redis_clock() -> RedisClock:
    return cast(RedisClock, current_app.extensions.setdefault("redis_clock", RedisClock()))
