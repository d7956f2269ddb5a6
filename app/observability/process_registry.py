"""The registry of processes in Redis: web, workers and beat record every five seconds that they work.

One hash, `processes`, maps an id to a JSON record with the time of the last heartbeat (`sign`) by Redis's clock. A
process that shuts down removes its record; without a heartbeat it is listed as silent for five minutes, then removed.
"""

import contextlib
import functools
import json
import os
import platform
import socket
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import redis
import uuid_utils.compat as uuid

from app.core.extensions import redis_client, redis_clock, redis_health
from app.observability.collectors import Reading
from app.observability.probe import PART_NAME, is_running

PROCESSES_KEY = "processes"
SILENT_SECONDS = 15.0
EXPIRY_SECONDS = 300.0
REQUIRED_ROLES = ("web", "worker", "worker-payments", "worker-webhooks", "beat")


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
    roles: list[str]
    silent_seconds: float
    clock_ahead: float = 0.0

    @property
    def is_silent(self) -> bool:
        return self.silent_seconds > SILENT_SECONDS

    @property
    def label(self) -> str:
        return f"{self.name} ({self.host})"


@functools.cache
def unique_id() -> str:
    """The id of this process; made at its first use, because modules are imported before a fork."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


@functools.cache  # reading it parses the package's metadata
def release_version() -> str:
    return version("dashboard-realtime")


def announce(kind: str, roles: tuple[str, ...]) -> None:
    """Record that this process works, and remove expired records. Raises redis.RedisError."""
    clock_ahead, machine = round(redis_clock().difference(), 3), _machine()
    records, now = _read()
    expired = [
        key
        for key, each in records.items()
        if abs(now - each["sign"]) > EXPIRY_SECONDS or (each["machine"] == machine and not is_running(each["pid"]))
    ]
    record = {
        "kind": kind,
        "name": os.environ.get(PART_NAME) or f"{kind}:{os.getpid()}",
        "host": socket.gethostname(),
        "machine": machine,
        "pid": os.getpid(),
        "unique_id": unique_id(),
        "version": release_version(),
        "python": platform.python_version(),
        "roles": roles,
        "clock_ahead": clock_ahead,
        "sign": now,
    }
    with redis_client().pipeline(transaction=False) as pipe:
        if expired:
            pipe.hdel(PROCESSES_KEY, *expired)
        pipe.hset(PROCESSES_KEY, _own_key(), json.dumps(record))
        pipe.execute()


def leave() -> None:
    """Remove this process's record at its shutdown. Does not wait for a Redis that hangs."""
    with contextlib.suppress(redis.RedisError):
        if redis_health().is_available():
            redis_client().hdel(PROCESSES_KEY, _own_key())


def _own_key() -> str:
    """Under `dashboard up` the part's name, so that a restarted part replaces its record."""
    part = os.environ.get(PART_NAME)
    own = f"{os.environ.get('DASHBOARD_HOME', '')}:{part}" if part else unique_id()
    return f"{_machine()}:{own}"


def _machine() -> str:
    """The host's name with the kernel's boot id, which tells hosts of one name apart."""
    boot_id = ""
    with contextlib.suppress(OSError):
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{socket.gethostname()}:{boot_id}"


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
            found.append(Process(**record, silent_seconds=age))
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
