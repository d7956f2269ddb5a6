"""The Lua operations of `lua/`, loaded by file name and run by hash."""

import hashlib
import logging
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import redis
from flask import Flask, current_app

from app.core.redis_multiplexer import RedisMultiplexer
from app.realtime.redis_keys import LAYOUT_KEY

logger = logging.getLogger(__name__)

LAYOUT = b"2"
KEYS_PER_STEP = 500

_EMITTING = ("clock", "room", "batch", "set_idle", "drain_room")
_SHARED = {
    "emit": (*_EMITTING, "record_stored"),
    "drain": _EMITTING,
    "rewind": _EMITTING,
    "report": ("clock", "set_idle"),
    "allocate_versions": ("clock",),
    "add_stored": ("clock", "set_idle", "record_stored"),
    "read_seq": ("clock",),
    "forget_silent_agents": ("clock",),
    "lease_lead": (),
    "rename_keys": (),
}


def init_app(app: Flask) -> None:
    app.extensions["redis_multiplexer"] = RedisMultiplexer(lambda: app.extensions["redis"], prepare=rename_old_keys)


@cache
def source(operation: str) -> str:
    """The text of an operation, after the shared files it needs."""
    folder = files("app.realtime") / "lua"
    return "\n".join((folder / f"{name}.lua").read_text("utf-8") for name in (*_SHARED[operation], operation))


@cache
def _sha(operation: str) -> str:
    return hashlib.sha1(source(operation).encode(), usedforsecurity=False).hexdigest()


def run(operation: str, *args: Any, multiplexer: RedisMultiplexer | None = None) -> Any:
    """Run one operation atomically in Redis, without an app context if a `multiplexer` is given.

    Retries once after a broken connection. Repeating an operation is harmless: clients ignore an event whose version
    they have. Raises redis.RedisError.
    """
    multiplexer = multiplexer or current_app.extensions["redis_multiplexer"]
    try:
        return _evaluate(multiplexer, operation, *args)
    except redis.ConnectionError:
        logger.info("redis.connection_lost", extra={"operation": operation})
        return _evaluate(multiplexer, operation, *args)


def _evaluate(multiplexer: RedisMultiplexer, operation: str, *args: Any) -> Any:
    try:
        return multiplexer.call("EVALSHA", _sha(operation), 0, *args)
    except redis.exceptions.NoScriptError:
        multiplexer.call("SCRIPT", "LOAD", source(operation))
        return multiplexer.call("EVALSHA", _sha(operation), 0, *args)


def rename_old_keys(call: Callable[..., Any]) -> None:
    """Give the keys of release 0.1 their present names, once for each Redis database. Raises redis.RedisError.

    Runs on each new connection, so before any script. Repeats an upgrade that was interrupted.
    """
    if call("GET", LAYOUT_KEY) == LAYOUT:
        return
    cursor, renamed = b"", 0
    while cursor != b"0":
        cursor, count = call("EVAL", source("rename_keys"), 0, cursor or b"0", KEYS_PER_STEP)
        renamed += count
    call("SET", LAYOUT_KEY, LAYOUT)
    if renamed:
        logger.info("redis.keys_renamed", extra={"keys": renamed})
