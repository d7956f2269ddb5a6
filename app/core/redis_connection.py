"""Connections to Redis, made the same way everywhere; imports no framework, so that `dashboard up` starts at once."""

from threading import BoundedSemaphore
from typing import Any, cast

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from app.config import sentinel

COMMAND_TIMEOUT_SECONDS = 1.0
READY_KEY = "dashboard:ready"
READY_KEY_SECONDS = 60
MAX_CONNECTIONS = 64  # of one process; whoever finds all of them in use waits for its turn
TURN_SECONDS = 5.0


def redis_time(client: redis.Redis) -> float:
    """Seconds on Redis's own clock, the one clock that all hosts share. Raises redis.RedisError."""
    seconds, micros = client.time()
    return float(seconds + micros / 1e6)


def connect_redis(url: str, *, blocking: bool = False, retries: int = 2) -> redis.Redis:
    """A client for `url`. `blocking=True` for pub/sub, whose reads wait for as long as nothing happens.

    redis-py's own defaults hang for a minute on a blocking read, take 3 s to report a dead server, and refuse the
    101st command at the same time: a crowd that comes back at once would be told that Redis is down.
    """
    options: dict[str, Any] = {
        "socket_connect_timeout": COMMAND_TIMEOUT_SECONDS,
        "socket_timeout": None if blocking else COMMAND_TIMEOUT_SECONDS,
        "health_check_interval": 15,
        "retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), retries),
        "protocol": 2,
    }
    if url.startswith(sentinel.SCHEME):
        return _behind_sentinel(sentinel.parse(url), options)
    if blocking:
        return redis.Redis.from_url(url, **options)
    pool = redis.BlockingConnectionPool.from_url(url, max_connections=MAX_CONNECTIONS, timeout=TURN_SECONDS, **options)
    return redis.Redis(connection_pool=pool)


def check_writable(client: redis.Redis) -> None:
    """Raises redis.RedisError when Redis does not take a write."""
    client.set(READY_KEY, b"", ex=READY_KEY_SECONDS)


def _behind_sentinel(address: sentinel.SentinelAddress, options: dict[str, Any]) -> redis.Redis:
    waits = {name: options[name] for name in ("socket_connect_timeout", "socket_timeout")}
    asked = Sentinel(address.sentinels, sentinel_kwargs={**waits, **address.sentinel_login})
    place = {"db": address.database, **address.login}
    found = asked.master_for(address.service, connection_pool_class=_PatientSentinelPool, **place, **options)
    return cast(redis.Redis, found)


class _PatientSentinelPool(SentinelConnectionPool):
    """redis-py has none that waits for a connection behind Sentinel."""

    def __init__(self, *names: Any, **options: Any) -> None:
        self._turns = BoundedSemaphore(MAX_CONNECTIONS)
        self._taken: set[int] = set()
        super().__init__(*names, **options)  # type: ignore[no-untyped-call]

    def get_connection(self, *names: Any, **options: Any) -> Any:
        if not self._turns.acquire(timeout=TURN_SECONDS):
            raise redis.ConnectionError("All connections to Redis are in use.")
        try:
            connection = super().get_connection(*names, **options)
        except BaseException:
            self._turns.release()
            raise
        self._taken.add(id(connection))
        return connection

    def release(self, connection: Any) -> None:
        """Also called by redis-py for a connection that it could not hand out."""
        super().release(connection)
        if id(connection) in self._taken:
            self._taken.remove(id(connection))
            self._turns.release()
