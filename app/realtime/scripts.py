"""The Lua operations, loaded by file name and registered once per Redis client."""

import hashlib
import logging
from functools import cache
from importlib.resources import files
from typing import Any

import redis
from flask import Flask, current_app

from app.extensions import redis_client
from app.realtime.hotline import Hotline

logger = logging.getLogger(__name__)

_NEEDS = {
    "publish": ("clock", "room", "batch", "turn"),
    "drain": ("clock", "room", "batch", "turn"),
    "offer": ("clock",),
    "reserve": ("clock",),
    "enter": ("clock",),
    "seq": ("clock",),
}


def init_app(app: Flask) -> None:
    app.extensions["hotline"] = Hotline(redis_client)


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
    hotline: Hotline = current_app.extensions["hotline"]
    try:
        return hotline.call("EVALSHA", _sha(operation), 0, *args)
    except redis.exceptions.NoScriptError:
        hotline.call("SCRIPT", "LOAD", source(operation))
    except redis.ConnectionError:
        logger.info("redis.reconnecting", extra={"operation": operation})
    return hotline.call("EVALSHA", _sha(operation), 0, *args)
