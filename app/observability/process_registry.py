"""The registry of processes in Redis: web, workers and beat record every five seconds that they work.

One hash, `processes`, maps an id to a JSON record with the time of the last heartbeat (`sign`) by Redis's clock. A
process that shuts down removes its record; without a heartbeat it is listed as silent for five minutes, then removed.
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
from app.observability.probe import PART_NAME, is_running
from app.observability.workers import beat_ticked

logger = logging.getLogger(__name__)

PROCESSES_KEY = "processes"
HEARTBEAT_SECONDS = 5.0
SILENT_SECONDS = 15.0
EXPIRY_SECONDS = 300.0
UNIQUE_ID = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
REQUIRED_ROLES = ("web", "worker", "worker-payments", "beat")


@dataclass(frozen=True)
class Process:
    """One record; `roles` are those of `REQUIRED_ROLES` that the process fills."""

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


def release_version() -> str:
    try:
        return version("dashboard-realtime")
    except PackageNotFoundError:
        return "from source"


def announce(kind: str, roles: tuple[str, ...]) -> None:
    """Record that this process works, and remove expired records. Raises redis.RedisError."""
    client = redis_client()
    record = {
        "kind": kind,
        "name": os.environ.get(PART_NAME) or f"{kind}:{os.getpid()}",
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": os.getpid(),
        "unique_id": UNIQUE_ID,
        "version": release_version(),
        "python": platform.python_version(),
        "roles": roles,
        "clock_ahead": round(redis_clock().difference(), 3),
    }
    records, now = _read()
    expired = [key for key, each in records.items() if _is_expired(each, now)]
    with client.pipeline(transaction=False) as pipe:
        pipe.hset(PROCESSES_KEY, _own_key(), json.dumps(record | {"sign": now}))
        if expired:
            pipe.hdel(PROCESSES_KEY, *expired)
        pipe.execute()


def leave() -> None:
    """Remove this process's record at its shutdown. Does not wait for a Redis that hangs."""
    with contextlib.suppress(redis.RedisError):
        if redis_health.is_available():
            redis_client().hdel(PROCESSES_KEY, _own_key())


def _own_key() -> str:
    """Under `dashboard up` the part's name, so that a restarted part replaces its record."""
    part = os.environ.get(PART_NAME)
    own = f"{os.environ.get('DASHBOARD_HOME', '')}:{part}" if part else UNIQUE_ID
    return f"{_machine()}:{own}"


def _machine() -> str:
    """The host's name with the kernel's boot id, which tells hosts of one name apart."""
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot_id = ""
    return f"{socket.gethostname()}:{boot_id}"


def _is_expired(record: dict[str, Any], now: float) -> bool:
    """Silent for five minutes, or dead on this machine."""
    if abs(now - record["sign"]) > EXPIRY_SECONDS:
        return True
    return record["machine"] == _machine() and not is_running(record["pid"])


def _read() -> tuple[dict[str, dict[str, Any]], float]:
    """All records by their key, and Redis's time in seconds."""
    with redis_client().pipeline(transaction=False) as pipe:
        pipe.hgetall(PROCESSES_KEY)
        pipe.time()
        found, (seconds, micros) = pipe.execute()
    return {key.decode(): json.loads(text) for key, text in found.items()}, seconds + micros / 1e6


def known() -> list[Process]:
    """All processes with a heartbeat within five minutes. Raises redis.RedisError."""
    records, now = _read()
    found = []
    for record in records.values():
        age = abs(now - record.pop("sign"))  # a time in the future: Redis's clock stepped back
        if age <= EXPIRY_SECONDS:
            found.append(Process(**(record | {"roles": tuple(record["roles"]), "silent_seconds": age})))
    return sorted(found, key=lambda each: (each.kind, each.name, each.host))


def faults(processes: list[Process]) -> dict[str, str]:
    """A text for each required role whose processes are silent or missing."""
    found = {}
    for role in REQUIRED_ROLES:
        filling = [each for each in processes if role in each.roles]
        silent = [f"{each.label} for {each.silent_seconds:.0f} s" for each in filling if each.is_silent]
        if silent:
            found[role] = "no sign of life of " + ", ".join(silent)
        elif not filling:
            found[role] = "no process with this role is running"
    return found


def silent_names() -> list[str]:
    """Raises redis.RedisError."""
    return [each.name for each in known() if each.is_silent]


def readings() -> list[Reading]:
    """Raises redis.RedisError."""
    silent = dict.fromkeys(REQUIRED_ROLES, 0.0)
    for each in known():
        for role in each.roles:
            silent[role] += each.is_silent
    about = "Processes without a heartbeat that were not replaced"
    return [Reading("dashboard_processes_silent", about, silent, "role")]


def announce_celery(app: Flask) -> None:
    """Announce workers at their Celery heartbeat and beat at its ticks, without a timer of our own."""
    worker, beat = _announcer(app, "worker", _worker_roles), _announcer(app, "beat", lambda: ("beat",))
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


def _announcer(app: Flask, kind: str, roles: Callable[[], tuple[str, ...]]) -> Callable[[], None]:
    due = 0.0

    def announce_when_due() -> None:
        nonlocal due
        if time.monotonic() < due:
            return
        due = time.monotonic() + HEARTBEAT_SECONDS
        try:
            with app.app_context():
                announce(kind, roles())
        except redis.RedisError as error:
            logger.warning("process.not_announced", extra={"kind": kind, "error": str(error)})

    return announce_when_due
