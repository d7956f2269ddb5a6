"""Connections to Redis, made the same way everywhere; imports no framework, so that `dashboard up` starts at once."""

from typing import Any, cast

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from app import sentinel

COMMAND_TIMEOUT_SECONDS = 1.0


def connect_redis(url: str, *, blocking: bool = False, retries: int = 2) -> redis.Redis:
    """A client for `url`. `blocking=True` for pub/sub, whose reads wait for as long as nothing happens.

    redis-py's own defaults hang for a minute on a blocking read and take 3 s to report a dead server.
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
    return redis.Redis.from_url(url, **options)


def _behind_sentinel(address: sentinel.SentinelAddress, options: dict[str, Any]) -> redis.Redis:
    waits = {name: options[name] for name in ("socket_connect_timeout", "socket_timeout")}
    asked = Sentinel(address.sentinels, sentinel_kwargs={**waits, **address.sentinel_login})
    return cast(redis.Redis, asked.master_for(address.service, db=address.database, **address.login, **options))
