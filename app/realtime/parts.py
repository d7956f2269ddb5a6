"""Which processes of the system live, and in which version: web, worker and beat say so every five seconds."""

import json
import logging
import os
import platform
import socket
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import redis
from celery import signals
from flask import Flask

from app.extensions import redis_client

logger = logging.getLogger(__name__)

PARTS_KEY = "presence:parts"
EVERY_SECONDS = 5.0
LIFETIME_SECONDS = 15


def own_version() -> str:
    try:
        return version("dashboard-realtime")
    except PackageNotFoundError:
        return "from source"


def announce(kind: str, name: str = "") -> None:
    """Say that this process lives; one that says nothing for 15 s is forgotten. Raises redis.RedisError."""
    process = f"{name or socket.gethostname()}:{os.getpid()}"
    record = {"kind": kind, "process": process, "version": own_version(), "python": platform.python_version()}
    now = time.time()
    with redis_client().pipeline(transaction=False) as pipe:
        pipe.zadd(PARTS_KEY, {json.dumps(record): now})
        pipe.zremrangebyscore(PARTS_KEY, "-inf", now - LIFETIME_SECONDS)
        pipe.execute()


def living() -> list[dict[str, str]]:
    """Kind, process, version and Python of each living process. Raises redis.RedisError."""
    since = time.time() - LIFETIME_SECONDS
    records: list[Any] = redis_client().zrangebyscore(PARTS_KEY, since, "+inf")
    return sorted((json.loads(record) for record in records), key=lambda part: (part["kind"], part["process"]))


def announce_celery(app: Flask) -> None:
    """Have workers announce themselves with their heartbeat, and beat with the tasks it sends: no timer of its own."""
    worker, beat = _now_and_then(app, "worker"), _now_and_then(app, "beat")
    signals.heartbeat_sent.connect(lambda sender, **_: worker(sender.eventer.hostname), weak=False)
    signals.beat_init.connect(
        lambda **_: signals.before_task_publish.connect(lambda **_: beat(""), weak=False), weak=False
    )


def _now_and_then(app: Flask, kind: str) -> Callable[[str], None]:
    due = 0.0

    def act(name: str) -> None:
        nonlocal due
        if time.monotonic() < due:
            return
        due = time.monotonic() + EVERY_SECONDS
        try:
            with app.app_context():
                announce(kind, name)
        except redis.RedisError as error:
            logger.warning("part.not_announced", extra={"part": kind, "error": str(error)})

    return act
