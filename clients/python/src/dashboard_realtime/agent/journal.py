"""A small file with an agent's open tasks and undelivered updates, for the case that its process dies.

Each change is written by a thread of its own within milliseconds, never by the agent's code: to a new file, which is
flushed to the disk (fsync) and then takes the place of the old one. So the file is always whole; a task that was opened
or closed in the last moment before a crash may be missing or still be open in it. The directory itself is not flushed:
after a power failure the previous version may be found. RUNNING reports are not written.
"""

import contextlib
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from dashboard_realtime.agent.lane import Worker
from dashboard_realtime.errors import JournalInUse

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("dashboard_realtime.agent")

VERSION = 1
IDLE_FACTOR = 10  # how much longer than the last writing took the next one waits: a long journal must not take the CPU
Entry = dict[str, Any]


class Journal:
    """`collect` returns the present entries, each as a line of JSON; it is called in the writing thread."""

    def __init__(self, path: "str | os.PathLike[str]", collect: Callable[[], list[str]]) -> None:
        """Raises JournalInUse if another process has it open."""
        self._path, self._collect = Path(path), collect
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock_file: IO[bytes] | None = _lock(self._path)
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_touched = self._is_closed = False
        self._write_lock = threading.Lock()
        self._worker = Worker("dashboard-journal", self._step)

    def read(self) -> list[Entry]:
        """What an earlier process has left; an unreadable file is kept beside it and counts as empty."""
        try:
            return _parsed(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            logger.error("agent.journal_unreadable", extra={"path": str(self._path), "reason": str(error)})  # noqa: TRY400
            with contextlib.suppress(OSError):
                self._path.replace(self._path.with_name(self._path.name + ".unreadable"))
            return []

    def start(self) -> None:
        self._worker.ensure_running()

    def touch(self) -> None:
        """Write soon; never waits. In a fork it does nothing."""
        if not self._is_touched and self._lock_file is not None:
            self._is_touched = True
            self._tokens.put(None)
            self._worker.ensure_running()

    def close(self) -> None:
        """Write what is left, and let another process have the file."""
        self._worker.stop()
        self._tokens.put(None)
        with self._write_lock:
            if self._lock_file is not None and not self._is_closed:
                self._is_closed = True
                self._write()
                self._lock_file.close()

    def after_fork(self) -> None:
        """In a fork: the file is the parent's."""
        if self._lock_file is not None:
            self._lock_file.close()
        self._lock_file, self._write_lock = None, threading.Lock()

    def _step(self) -> None:
        self._tokens.get()
        self._is_touched = False  # before the content is read: a later change writes again
        began = time.monotonic()
        with self._write_lock:
            if not self._is_closed:
                self._write()
        time.sleep(IDLE_FACTOR * (time.monotonic() - began))

    def _write(self) -> None:
        """A disk that is full must not end the reports: the failure is logged, and the next change tries again."""
        target = self._path.with_name(f"{self._path.name}.new")
        try:
            with target.open("w", encoding="utf-8") as file:
                file.write("\n".join([json.dumps({"version": VERSION}), *self._collect(), ""]))
                file.flush()
                os.fsync(file.fileno())
            target.replace(self._path)
        except (OSError, TypeError, ValueError) as error:
            logger.error("agent.journal_not_written", extra={"path": str(self._path), "reason": str(error)})  # noqa: TRY400


def _parsed(text: str) -> list[Entry]:
    """Raises ValueError."""
    first, *entries = map(json.loads, text.splitlines())
    if first != {"version": VERSION}:
        raise ValueError(f"not a journal of version {VERSION}")
    return entries


def _lock(path: Path) -> IO[bytes]:
    file = path.with_name(path.name + ".lock").open("ab")
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise JournalInUse(f"Another process uses the journal {path}: give each agent its own.") from error
    return file
