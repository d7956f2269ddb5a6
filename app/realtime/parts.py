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
from app.observability.redis_clock import redis_clock
from app.observability.workers import beat_ticked
from app.realtime.presence import note_alive

logger = logging.getLogger(__name__)

PARTS_KEY = "presence:parts"
CLOCK_KEY = "presence:clock:"
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
    with redis_client().pipeline(transaction=False) as pipe:
        note_alive(pipe, PARTS_KEY, json.dumps(record), LIFETIME_SECONDS)
        pipe.set(CLOCK_KEY + process, f"{redis_clock().difference:.3f}", ex=LIFETIME_SECONDS)
        pipe.execute()


def living() -> list[dict[str, str]]:
    """Kind, process, version and Python of each living process. Raises redis.RedisError."""
    since = redis_clock().now() - LIFETIME_SECONDS
    records: list[Any] = redis_client().zrangebyscore(PARTS_KEY, since, "+inf")
    return sorted((json.loads(record) for record in records), key=lambda part: (part["kind"], part["process"]))


def clock_differences() -> list[tuple[dict[str, str], float]]:
    """Each living process and how many seconds its clock is ahead of Redis's. Raises redis.RedisError."""
    parts = living()
    found: list[Any] = redis_client().mget([CLOCK_KEY + part["process"] for part in parts]) if parts else []
    return [(part, float(value)) for part, value in zip(parts, found, strict=True) if value is not None]


def announce_celery(app: Flask) -> None:
    """Have workers announce themselves with their heartbeat, and beat with its ticks: no timer of its own."""
    worker, beat = _now_and_then(app, "worker"), _now_and_then(app, "beat")
    signals.heartbeat_sent.connect(lambda sender, **_: worker(sender.eventer.hostname), weak=False)
    beat_ticked.connect(lambda **_: beat(""), weak=False)


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
