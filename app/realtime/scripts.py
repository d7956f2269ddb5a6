"""The Lua operations, loaded by file name and registered once per Redis client."""

import hashlib
import logging
from functools import cache
from importlib.resources import files
from typing import Any, cast

import redis
from flask import Flask, current_app

from app.core.redis_multiplexer import Hotline

logger = logging.getLogger(__name__)

_ROOM = ("clock", "room", "batch", "idle", "turn")
_NEEDS = {
    "publish": (*_ROOM, "stored"),
    "drain": _ROOM,
    "rewind": _ROOM,
    "offer": ("clock", "agents", "idle"),
    "reserve": ("clock",),
    "enter": ("clock", "idle", "stored"),
    "seq": ("clock",),
    "forget": ("clock",),
    "lead": (),
}


def init_app(app: Flask) -> None:
    app.extensions["hotline"] = Hotline(lambda: cast(redis.Redis, app.extensions["redis"]))


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
    return run_on(current_app.extensions["hotline"], operation, *args)


def run_on(hotline: Hotline, operation: str, *args: Any) -> Any:
    """As `run`, for who has the connection at hand and no app context: the short way of progress reports."""
    try:
        return _evaluate(hotline, operation, *args)
    except redis.ConnectionError:
        logger.info("redis.reconnecting", extra={"operation": operation})
        return _evaluate(hotline, operation, *args)


def _evaluate(hotline: Hotline, operation: str, *args: Any) -> Any:
    """A Redis that was started anew knows no script: it is told."""
    try:
        return hotline.call("EVALSHA", _sha(operation), 0, *args)
    except redis.exceptions.NoScriptError:
        hotline.call("SCRIPT", "LOAD", source(operation))
        return hotline.call("EVALSHA", _sha(operation), 0, *args)
