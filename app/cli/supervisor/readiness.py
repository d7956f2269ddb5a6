"""Checks whether the whole system works: Redis replies, beat ticks, web serves."""

import time
from typing import Any

import click
import redis
import requests

from app.cli.supervisor.supervisor import Supervisor
from app.config import Config
from app.core.redis_connection import UnsuitableServerError, check_writable, connect_redis, redis_time
from app.core.redis_nodes import RedisNodes
from app.realtime.redis_keys import TICK_KEY

MAX_TICK_AGE_SECONDS = 30.0
YOUNG_SECONDS = 1.1  # a room of a Redis that began or restarted less than a window ago sends nothing (lua/room.lua)


class Readiness:
    """The methods named `find_…` return the problem that they find, or nothing."""

    def __init__(self, supervisor: Supervisor, settings: Config, web_url: str) -> None:
        self._supervisor, self._web_url = supervisor, web_url
        self._redis = connect_redis(settings.redis_url)
        self._rooms = RedisNodes(settings.rooms_redis_url)
        self._tick_of_earlier_run: Any = None
        self._connected_at: float | None = None  # when web was seen to be connected to Redis

    def find_redis_problem(self) -> str:
        """Call it before beat starts: a tick found then is of an earlier run.

        Raises click.ClickException for a server that cannot hold the rooms.
        """
        try:
            self._tick_of_earlier_run = self._redis.get(TICK_KEY)
        except redis.RedisError as error:
            return f"Redis does not answer: {error}"
        try:
            self._rooms.check_versions()
        except UnsuitableServerError as error:
            raise click.ClickException(str(error)) from error
        except redis.RedisError as error:
            return f"the rooms' Redis does not answer: {error}"
        return ""

    def find_problem(self) -> str:
        processes = self._supervisor.processes
        unready = [name for name, process in processes.items() if not process.is_ready]
        if self._connected_at is None and any(name.startswith("web") and name not in unready for name in processes):
            self._connected_at = time.monotonic()
        if unready:
            return f"no sign of life yet from {', '.join(unready)}"
        if self._tick_age() is None:
            return "beat and worker have not ticked yet"
        try:
            answer = requests.get(f"{self._web_url}/readyz", timeout=2)
        except requests.RequestException as error:
            return f"web does not answer: {error}"
        if not answer.ok:
            return f"web is not ready: {answer.text[:500]}"
        is_young = self._connected_at is None or time.monotonic() < self._connected_at + YOUNG_SECONDS
        return "the rooms' memory has just begun" if is_young else ""

    def _tick_age(self) -> float | None:
        """Return the seconds since the last tick, by Redis's clock; None when this run has none or Redis is away."""
        try:
            tick: Any = self._redis.get(TICK_KEY)
            if tick in (None, self._tick_of_earlier_run):
                return None
            return abs(redis_time(self._redis) - float(tick))  # Redis's clock may have stepped back
        except redis.RedisError:
            return None

    def watch(self) -> None:
        """Watch Redis and the ticks, in a thread of its own: a Redis that hangs must not block the supervisor.

        Kills beat and worker when ticks ceased: a worker can stop consuming after its connection was reset. A tick is
        stale when two checks in a row say so: the first one after a suspend finds an old tick.
        """
        processes, stale_checks = self._supervisor.processes, 0
        while True:
            time.sleep(2)
            self._check_redis()
            age = self._tick_age() or 0.0
            ticking = [processes[name] for name in ("beat", "worker") if name in processes]
            youngest = min((process.age_seconds for process in ticking), default=0.0)
            stale_checks = stale_checks + 1 if min(age, youngest) > MAX_TICK_AGE_SECONDS else 0
            if stale_checks > 1:
                for process in ticking:
                    self._supervisor.log("WARNING", f"{process.name} has not ticked for {age:.0f} s: killing it")
                    process.kill()

    def _check_redis(self) -> None:
        """An error reply is a sign of life too, but processes that need Redis wait until it accepts writes."""
        answers, accepts_writes = True, False
        try:
            check_writable(self._redis)
            accepts_writes = True
        except (redis.ConnectionError, redis.TimeoutError) as error:
            answers = isinstance(error, redis.exceptions.BusyLoadingError)
        except redis.RedisError:
            pass
        self._supervisor.redis_accepts_writes = accepts_writes
        if answers and (embedded := self._supervisor.processes.get("redis")):
            embedded.silent_seconds = 0.0
