"""Whether the whole system answers: web serves, the workers work, beat ticks, Redis replies."""

import threading
import time
import urllib.error
import urllib.request
from typing import Any

from app.cli.supervisor.supervisor import Supervisor

HTTP_SECONDS = 2.0
STALE_SECONDS = 30.0
LOOK_SECONDS = 2.0
TICKING_PARTS = ("beat", "worker")


class Readiness:
    """Asks the running system; the clock of ticks is Redis's own."""

    def __init__(self, supervisor: Supervisor, redis_url: str, web_url: str) -> None:
        self._supervisor, self._web_url = supervisor, web_url
        from app.core.redis_connection import connect_redis
        from app.realtime.redis_keys import TICK_KEY

        self._redis, self._tick_key = connect_redis(redis_url), TICK_KEY
        self._earlier_tick: Any = None
        self._missing = ""
        self._stuck_seconds = 0.0

    def redis_answers(self) -> bool:
        """True from the first answer on; the tick found then is of an earlier run."""
        import redis

        try:
            self._earlier_tick = self._redis.get(self._tick_key)
        except redis.RedisError as error:
            self._missing = f"Redis does not answer: {error}"
            return False
        return True

    def _now(self) -> float:
        seconds, micros = self._redis.time()
        return float(seconds + micros / 1e6)

    def all_answer(self) -> bool:
        self._missing = self._what_is_missing()
        return not self._missing

    def missing(self) -> str:
        return self._missing

    def _what_is_missing(self) -> str:
        if unready := self._supervisor.unready():
            return f"{', '.join(unready)} gave no sign of life yet"
        if self._tick_age() is None:
            return "beat and worker did not tick"
        return self._web_fault()

    def _tick_age(self) -> float | None:
        """Seconds since the last tick of this run; None when there was none, or Redis does not answer."""
        import redis

        try:
            tick: Any = self._redis.get(self._tick_key)
            if tick in (None, self._earlier_tick):
                return None
            return abs(self._now() - float(tick))  # Redis's clock may have stepped back since
        except redis.RedisError:
            return None

    def _web_fault(self) -> str:
        try:
            with urllib.request.urlopen(f"{self._web_url}/readyz", timeout=HTTP_SECONDS):  # noqa: S310 - our own
                return ""
        except urllib.error.HTTPError as error:
            return f"web is not ready: {error.read(500).decode('utf-8', 'replace')}"
        except OSError as error:
            return f"web does not answer: {error}"

    def watch(self) -> None:
        """Look at Redis and the ticks from now on; in a thread, since a Redis that hangs must not hold up others."""
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """Two looks must agree: after a sleep of the whole machine the first one finds an old tick."""
        stale_looks = 0
        while True:
            time.sleep(LOOK_SECONDS)
            self._look_at_redis()
            age = self._tick_age() or 0.0
            is_stale = age > STALE_SECONDS and self._supervisor.youngest(TICKING_PARTS) > STALE_SECONDS
            stale_looks = stale_looks + 1 if is_stale else 0
            if stale_looks > 1:
                self._stuck_seconds, stale_looks = age, 0
                time.sleep(LOOK_SECONDS)

    def _look_at_redis(self) -> None:
        """A refusal is a sign of life of the embedded Redis too; parts that need Redis wait until it takes writes."""
        import redis

        from app.core.redis_connection import check_writable

        answers, takes_writes = True, False
        try:
            check_writable(self._redis)
            takes_writes = True
        except redis.exceptions.BusyLoadingError:
            pass
        except (redis.ConnectionError, redis.TimeoutError):
            answers = False
        except redis.RedisError:
            pass
        self._supervisor.redis_answers = takes_writes
        if answers:
            self._supervisor.note_sign("redis")

    def restart_what_is_stuck(self) -> None:
        """A worker can stop working silently after its connection was reset: the tick tells."""
        if self._stuck_seconds:
            age, self._stuck_seconds = self._stuck_seconds, 0.0
            self._supervisor.restart(TICKING_PARTS, f"has not ticked for {age:.0f} s")
