"""Redis clients with the same timeouts everywhere, Redis's clock and its health.

Imports no framework, so that `dashboard up` starts fast.
"""

import time
from collections.abc import Mapping
from threading import BoundedSemaphore
from typing import Any, cast

import redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from app.config.redis_addresses import SENTINEL_SCHEME, parse_sentinel

COMMAND_TIMEOUT_SECONDS = 1.0
MAX_CONNECTIONS = 64  # per process; when all are in use, callers wait
POOL_WAIT_SECONDS = 5.0
CLOCK_FRESH_SECONDS = 5.0
CLOCK_RETRY_SECONDS = 1.0
FAILURE_REMEMBERED_SECONDS = 1.0
MIN_VERSION = 7  # the first with sharded channels

CONNECTION_OPTIONS = {
    "socket_connect_timeout": COMMAND_TIMEOUT_SECONDS,
    "socket_timeout": COMMAND_TIMEOUT_SECONDS,
    "health_check_interval": 15,
    "protocol": 2,
}


def redis_time(client: redis.Redis) -> float:
    """Seconds by Redis's clock, which all hosts share. Raises redis.RedisError."""
    seconds, micros = client.time()
    return float(seconds + micros / 1e6)


def connect_redis(url: str, *, blocking: bool = False, retries: int = 2) -> redis.Redis:
    """A client for `url`. `blocking=True` is for pub/sub, whose reads wait without a timeout.

    With redis-py's defaults a blocking read hangs for a minute, a dead server is reported after 3 s, and the 101st
    concurrent command fails, so that many clients reconnecting at once would get "Redis is down".
    """
    options: dict[str, Any] = {
        **CONNECTION_OPTIONS,
        "socket_timeout": None if blocking else COMMAND_TIMEOUT_SECONDS,
        "retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), retries),
    }
    if url.startswith(SENTINEL_SCHEME):
        address = parse_sentinel(url)
        asking = {name: options[name] for name in ("socket_connect_timeout", "socket_timeout")}
        asking["retry"] = Retry(NoBackoff(), 0)  # the next sentinel is asked instead: the default takes 12 s for each
        servers = Sentinel(address.sentinels, sentinel_kwargs={**asking, **address.sentinel_login})
        options |= {"db": address.database, **address.login, "connection_pool_class": _BlockingSentinelPool}
        return cast(redis.Redis, servers.master_for(address.service, **options))
    if blocking:
        return redis.Redis.from_url(url, **options)
    pool = redis.BlockingConnectionPool.from_url(
        url, max_connections=MAX_CONNECTIONS, timeout=POOL_WAIT_SECONDS, **options
    )
    return redis.Redis(connection_pool=pool)


class UnsuitableServerError(redis.RedisError):
    """The server is too old, or is named as what it is not."""


def check_version(information: Mapping[str, Any], *, is_cluster: bool) -> str:
    """The name and version in a reply of INFO. Raises UnsuitableServerError for a server that cannot hold the rooms."""
    if not is_cluster and information.get("server_mode", information.get("redis_mode")) == "cluster":
        raise UnsuitableServerError("the server of the rooms belongs to a cluster: ROOMS_REDIS_URL=valkey-cluster://…")
    if version := information.get("valkey_version"):
        return f"Valkey {version}"
    named = f"Redis {information.get('redis_version', '')}"
    if information and int(str(information["redis_version"]).partition(".")[0]) < MIN_VERSION:
        raise UnsuitableServerError(f"{named} is too old: the rooms need Redis {MIN_VERSION} or newer, or Valkey")
    return named


def check_writable(client: redis.Redis) -> None:
    """Raises redis.RedisError when Redis does not take a write."""
    client.set("dashboard:ready", b"", ex=60)


class RedisClock:
    """Redis's clock, by which processes of several hosts compare times.

    Read at most every five seconds; goes on by the monotonic clock in between.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._time = 0.0
        self._asked_at = self._ask_at = float("-inf")
        self._difference = 0.0

    def now(self) -> float:
        """Seconds on Redis's clock. Raises redis.RedisError if Redis has never answered."""
        if time.monotonic() >= self._ask_at:
            self._ask()
        return self._time + time.monotonic() - self._asked_at

    def difference(self) -> float:
        """Seconds by which this process's wall clock is ahead of Redis's. Raises as `now` does."""
        self.now()
        return self._difference

    def _ask(self) -> None:
        asked_at, wall = time.monotonic(), time.time()
        try:
            self._time = redis_time(self._client)
        except redis.RedisError:
            if not self._time:
                raise
            self._ask_at = time.monotonic() + CLOCK_RETRY_SECONDS
            return
        self._asked_at = time.monotonic()
        self._ask_at = self._asked_at + CLOCK_FRESH_SECONDS
        self._difference = wall + (self._asked_at - asked_at) / 2 - self._time


class RedisHealth:
    """Whether Redis answers, known within a second.

    A Redis that hangs accepts connections and never replies: a caller that publishes events and enqueues jobs would
    wait for the timeout of every retry of every step. A request whose change is committed checks this first, and
    leaves its events and jobs to the sweeps.
    """

    def __init__(self, url: str) -> None:
        self._client = connect_redis(url, retries=0)
        self._unavailable_until = 0.0

    def is_available(self) -> bool:
        """Ping Redis; a failure is remembered for a second, so that one request does not wait for it twice."""
        if time.monotonic() < self._unavailable_until:
            return False
        try:
            return bool(self._client.ping())
        except redis.RedisError:
            self._unavailable_until = time.monotonic() + FAILURE_REMEMBERED_SECONDS
            return False


class _BlockingSentinelPool(SentinelConnectionPool):
    """Waits for a free connection; redis-py's BlockingConnectionPool has no form for Sentinel."""

    def __init__(self, *names: Any, **options: Any) -> None:
        self._slots = BoundedSemaphore(MAX_CONNECTIONS)
        self._taken: set[int] = set()
        super().__init__(*names, **options)  # type: ignore[no-untyped-call]

    def get_connection(self, *names: Any, **options: Any) -> Any:
        if not self._slots.acquire(timeout=POOL_WAIT_SECONDS):
            raise redis.ConnectionError("All connections to Redis are in use.")
        try:
            connection = super().get_connection(*names, **options)
        except BaseException:
            self._slots.release()
            raise
        self._taken.add(id(connection))
        return connection

    def release(self, connection: Any) -> None:
        """redis-py also calls this for a connection that `get_connection` did not return."""
        super().release(connection)
        if id(connection) in self._taken:
            self._taken.remove(id(connection))
            self._slots.release()
