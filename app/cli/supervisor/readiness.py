"""Checks whether the whole system works: Redis replies, beat ticks, web serves."""

import threading
import time
import urllib.error
import urllib.request
from typing import Any

import redis

from app.cli.supervisor.supervisor import Supervisor
from app.core.redis_connection import check_writable, connect_redis, redis_time
from app.realtime.redis_keys import TICK_KEY

HTTP_SECONDS = 2.0
MAX_TICK_AGE_SECONDS = 30.0
CHECK_SECONDS = 2.0
TICKING = ("beat", "worker")


class Readiness:
    """`problem` says what the latest check found missing; empty when nothing was."""

    def __init__(self, supervisor: Supervisor, redis_url: str, web_url: str) -> None:
        self.problem = ""
        self._supervisor, self._web_url = supervisor, web_url
        self._redis = connect_redis(redis_url)
        self._tick_of_earlier_run: Any = None
        self._stale_tick_seconds = 0.0

    def redis_answers(self) -> bool:
        """Return whether Redis answers. Call it before beat starts: a tick found then is of an earlier run."""
        try:
            self._tick_of_earlier_run = self._redis.get(TICK_KEY)
        except redis.RedisError as error:
            self.problem = f"Redis does not answer: {error}"
            return False
        return True

    def all_ready(self) -> bool:
        self.problem = self._find_problem()
        return not self.problem

    def _find_problem(self) -> str:
        if unready := self._supervisor.unready():
            return f"no sign of life yet from {', '.join(unready)}"
        if self._tick_age() is None:
            return "beat and worker have not ticked yet"
        return self._web_problem()

    def _tick_age(self) -> float | None:
        """Return the seconds since the last tick, by Redis's clock; None when this run has none or Redis is away."""
        try:
            tick: Any = self._redis.get(TICK_KEY)
            if tick in (None, self._tick_of_earlier_run):
                return None
            return abs(redis_time(self._redis) - float(tick))  # Redis's clock may have stepped back
        except redis.RedisError:
            return None

    def _web_problem(self) -> str:
        try:
            with urllib.request.urlopen(f"{self._web_url}/readyz", timeout=HTTP_SECONDS):  # noqa: S310 - our own URL
                return ""
        except urllib.error.HTTPError as error:
            return f"web is not ready: {error.read(500).decode('utf-8', 'replace')}"
        except OSError as error:
            return f"web does not answer: {error}"

    def watch(self) -> None:
        """Watch Redis and the ticks from now on, in a thread: a Redis that hangs must not block the supervisor."""
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """A tick is stale when two checks in a row say so: the first one after a suspend finds an old tick."""
        stale_checks = 0
        while True:
            time.sleep(CHECK_SECONDS)
            self._check_redis()
            age = self._tick_age() or 0.0
            is_stale = age > MAX_TICK_AGE_SECONDS and self._supervisor.min_age(TICKING) > MAX_TICK_AGE_SECONDS
            stale_checks = stale_checks + 1 if is_stale else 0
            if stale_checks > 1:
                self._stale_tick_seconds, stale_checks = age, 0
                time.sleep(CHECK_SECONDS)

    def _check_redis(self) -> None:
        """An error reply is a sign of life too, but processes that need Redis wait until it accepts writes."""
        answers, accepts_writes = True, False
        try:
            check_writable(self._redis)
            accepts_writes = True
        except redis.exceptions.BusyLoadingError:
            pass
        except (redis.ConnectionError, redis.TimeoutError):
            answers = False
        except redis.RedisError:
            pass
        self._supervisor.redis_accepts_writes = accepts_writes
        if answers:
            self._supervisor.record_sign_of_life("redis")

    def restart_without_ticks(self) -> None:
        """Restart beat and worker when ticks ceased: a worker can stop consuming after its connection was reset."""
        if self._stale_tick_seconds:
            age, self._stale_tick_seconds = self._stale_tick_seconds, 0.0
            self._supervisor.kill(TICKING, f"has not ticked for {age:.0f} s")
