"""The steady time (lua/clock.lua) that Redis should show at least, by this process's monotonic clock.

Redis has only a wall clock, which can be set. A process that read it lately knows how much time has passed since, so
the scripts can tell a step forward from a pause.
"""

import time
from typing import cast

import redis
from flask import current_app

from app.realtime.redis_keys import CLOCK_KEY

QUICK_SECONDS = 0.05
FRESH_SECONDS = 30.0
MAX_AGE_SECONDS = 120.0


class SteadyClock:
    """The last measurement: a steady time in microseconds, and the monotonic time of its request."""

    def __init__(self) -> None:
        self._time: int | None = None
        self._asked_at = 0.0

    def expected(self) -> str:
        """Return the scripts' argument; empty if the last measurement is too old."""
        age = time.monotonic() - self._asked_at
        if self._time is None or age > MAX_AGE_SECONDS:
            return ""
        return str(self._time + int(age * 1e6))

    def learn(self, steady_us: int, asked_at: float) -> None:
        """Store a measurement whose reply came quickly, or any if the stored one is old."""
        now = time.monotonic()
        if self._time is None or now - asked_at < QUICK_SECONDS or now - self._asked_at > FRESH_SECONDS:
            self._time, self._asked_at = steady_us, asked_at


def steady_clock() -> SteadyClock:
    return cast(SteadyClock, current_app.extensions.setdefault("steady_clock", SteadyClock()))


def read_steady_time(client: redis.Redis) -> int:
    """Return the steady time in microseconds. Raises redis.RedisError."""
    with client.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.get(CLOCK_KEY)
        (seconds, micros), state = pipe.execute()
    wall = int(seconds) * 1_000_000 + int(micros)
    if not state:
        return wall
    last, offset = map(int, state.split())
    return max(wall + offset, last)
