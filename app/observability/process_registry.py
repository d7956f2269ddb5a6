"""The registry of processes in Redis: web, workers and beat record every five seconds that they work.

One hash, `processes`: an id to a JSON record with the time of the last sign by Redis's clock. A process that ends in
order removes its record; one that falls silent is listed as silent for five minutes, then forgotten.
"""

import contextlib
import json
import logging
import os
import platform
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import redis
import uuid_utils.compat as uuid
from celery import signals
from flask import Flask

from app.core import redis_health
from app.core.extensions import celery, redis_client
from app.core.queues import ALL_QUEUES, PAYMENTS_QUEUE
from app.core.redis_clock import redis_clock
from app.observability.collectors import Reading
from app.observability.probe import PART_NAME
from app.observability.workers import beat_ticked

logger = logging.getLogger(__name__)

PROCESSES_KEY = "processes"
EVERY_SECONDS = 5.0
SILENT_SECONDS = 15.0
FORGOTTEN_SECONDS = 300.0
UNIQUE_ID = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
NEEDED = ("web", "worker", "worker-payments", "beat")


@dataclass(frozen=True)
class Process:
    """One record; `roles` are those of `NEEDED` that it fills."""

    kind: str
    name: str
    host: str
    machine: str
    pid: int
    unique_id: str
    version: str
    python: str
    roles: tuple[str, ...]
    silent_seconds: float
    clock_ahead: float = 0.0

    @property
    def is_silent(self) -> bool:
        return self.silent_seconds > SILENT_SECONDS

    @property
    def label(self) -> str:
        return f"{self.name} ({self.host})"


def own_version() -> str:
    try:
        return version("dashboard-realtime")
    except PackageNotFoundError:
        return "from source"


def announce(kind: str, roles: tuple[str, ...]) -> None:
    """Record that this process works, and forget those that fell silent long ago. Raises redis.RedisError."""
    client = redis_client()
    record = {
        "kind": kind,
        "name": os.environ.get(PART_NAME) or f"{kind}:{os.getpid()}",
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": os.getpid(),
        "unique_id": UNIQUE_ID,
        "version": own_version(),
        "python": platform.python_version(),
        "roles": roles,
        "clock_ahead": round(redis_clock().difference, 3),
    }
    records, now = _read()
    forgotten = [key for key, each in records.items() if _is_gone(each, now)]
    with client.pipeline(transaction=False) as pipe:
        pipe.hset(PROCESSES_KEY, _own_key(), json.dumps(record | {"sign": now}))
        if forgotten:
            pipe.hdel(PROCESSES_KEY, *forgotten)
        pipe.execute()


def leave() -> None:
    """Remove this process's record: it ends in order. Does not wait for a Redis that hangs."""
    with contextlib.suppress(redis.RedisError):
        if redis_health.is_available():
            redis_client().hdel(PROCESSES_KEY, _own_key())


def _own_key() -> str:
    """Under `dashboard up` the part's name: its successor takes the record over."""
    part = os.environ.get(PART_NAME)
    own = f"{os.environ.get('DASHBOARD_HOME', '')}:{part}" if part else UNIQUE_ID
    return f"{_machine()}:{own}"


def _machine() -> str:
    """Tells machines of the same name apart by the kernel's boot id."""
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot_id = ""
    return f"{socket.gethostname()}:{boot_id}"


def _is_gone(record: dict[str, Any], now: float) -> bool:
    """Silent for long, or killed on this machine."""
    if abs(now - record["sign"]) > FORGOTTEN_SECONDS:
        return True
    return record["machine"] == _machine() and not _is_running(record["pid"])


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _read() -> tuple[dict[str, dict[str, Any]], float]:
    """All records, and Redis's time."""
    with redis_client().pipeline(transaction=False) as pipe:
        pipe.hgetall(PROCESSES_KEY)
        pipe.time()
        found, (seconds, micros) = pipe.execute()
    return {key.decode(): json.loads(text) for key, text in found.items()}, seconds + micros / 1e6


def known() -> list[Process]:
    """All processes that gave a sign within five minutes. Raises redis.RedisError."""
    records, now = _read()
    found = []
    for record in records.values():
        age = abs(now - record.pop("sign"))  # a sign of the future was given before Redis's clock went back
        if age <= FORGOTTEN_SECONDS:
            found.append(Process(**(record | {"roles": tuple(record["roles"]), "silent_seconds": age})))
    return sorted(found, key=lambda each: (each.kind, each.name, each.host))


def faults(processes: list[Process]) -> dict[str, str]:
    """What is wrong with each needed role: the names of silent processes, or that there is none."""
    found = {}
    for role in NEEDED:
        filling = [each for each in processes if role in each.roles]
        silent = [f"{each.label} for {each.silent_seconds:.0f} s" for each in filling if each.is_silent]
        if silent:
            found[role] = "no sign of life of " + ", ".join(silent)
        elif not filling:
            found[role] = "no process gives signs of life"
    return found


def silent_names() -> list[str]:
    """Raises redis.RedisError."""
    return [each.name for each in known() if each.is_silent]


def readings() -> list[Reading]:
    """Raises redis.RedisError."""
    silent = dict.fromkeys(NEEDED, 0.0)
    for each in known():
        for role in each.roles:
            silent[role] += each.is_silent
    about = "Processes that stopped giving signs of life and were not replaced"
    return [Reading("dashboard_processes_silent", about, silent, "role")]


def announce_celery(app: Flask) -> None:
    """Have workers announce themselves with their heartbeat, and beat with its ticks: no timer of its own."""
    worker, beat = _now_and_then(app, "worker", _worker_roles), _now_and_then(app, "beat", lambda: ("beat",))
    signals.heartbeat_sent.connect(lambda **_: worker(), weak=False)
    signals.worker_shutdown.connect(lambda **_: _leave(app), weak=False)
    beat_ticked.connect(lambda **_: beat(), weak=False)


def _worker_roles() -> tuple[str, ...]:
    queues = set(celery.amqp.queues.consume_from)
    realtime = set(ALL_QUEUES) - {PAYMENTS_QUEUE}
    roles = {"worker": bool(queues & realtime), "worker-payments": PAYMENTS_QUEUE in queues}
    return tuple(role for role, is_filled in roles.items() if is_filled)


def _leave(app: Flask) -> None:
    with app.app_context():
        leave()


def _now_and_then(app: Flask, kind: str, roles: Callable[[], tuple[str, ...]]) -> Callable[[], None]:
    due = 0.0

    def act() -> None:
        nonlocal due
        if time.monotonic() < due:
            return
        due = time.monotonic() + EVERY_SECONDS
        try:
            with app.app_context():
                announce(kind, roles())
        except redis.RedisError as error:
            logger.warning("process.not_announced", extra={"kind": kind, "error": str(error)})

    return act
