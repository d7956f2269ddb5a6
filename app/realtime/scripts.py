"""The Lua operations, loaded by file name and registered once per Redis client."""

import hashlib
import logging
from functools import cache
from importlib.resources import files
from typing import Any, cast

import redis
from flask import Flask, current_app

from app.core.redis_multiplexer import RedisMultiplexer

logger = logging.getLogger(__name__)

_ROOM = ("clock", "room", "batch", "idle", "drain_room")
_NEEDS = {
    "emit": (*_ROOM, "stored"),
    "drain": _ROOM,
    "rewind": _ROOM,
    "report": ("clock", "agents", "idle"),
    "allocate_versions": ("clock",),
    "add_stored": ("clock", "idle", "stored"),
    "seq": ("clock",),
    "forget_silent_agents": ("clock",),
    "lead": (),
}


def init_app(app: Flask) -> None:
    app.extensions["redis_multiplexer"] = RedisMultiplexer(lambda: cast(redis.Redis, app.extensions["redis"]))


@cache
def source(operation: str) -> str:
    """The text of an operation with the shared parts it needs in front."""
    folder = files("app.realtime") / "lua"
    names = (*_NEEDS[operation], operation)
    return "\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)


@cache
def _sha(operation: str) -> str:
    return hashlib.sha1(source(operation).encode(), usedforsecurity=False).hexdigest()


def run(operation: str, *args: Any) -> Any:
    """Run one operation atomically in Redis. Raises redis.RedisError.

    A connection that broke is tried once more: each operation may be repeated without harm (a repeated event is old
    news by its version).
    """
    return run_on(current_app.extensions["redis_multiplexer"], operation, *args)


def run_on(redis_multiplexer: RedisMultiplexer, operation: str, *args: Any) -> Any:
    """As `run`, for who has the connection at hand and no app context: the short way of progress reports."""
    try:
        return _evaluate(redis_multiplexer, operation, *args)
    except redis.ConnectionError:
        logger.info("redis.reconnecting", extra={"operation": operation})
        return _evaluate(redis_multiplexer, operation, *args)


def _evaluate(redis_multiplexer: RedisMultiplexer, operation: str, *args: Any) -> Any:
    """A Redis that was started anew knows no script: it is told."""
    try:
        return redis_multiplexer.call("EVALSHA", _sha(operation), 0, *args)
    except redis.exceptions.NoScriptError:
        redis_multiplexer.call("SCRIPT", "LOAD", source(operation))
        return redis_multiplexer.call("EVALSHA", _sha(operation), 0, *args)
