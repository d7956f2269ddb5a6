"""One process of `dashboard up`: bound to its parent's life, with its output printed and its signs of life counted."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from app.cli.supervisor import parent_death
from app.cli.supervisor.console import Console, LevelPrefixer
from app.observability.probe import ALIVE_FILE, PART_NAME

STEADY_SECONDS = 10.0  # an exit after this time is not a failure in a row


@dataclass(eq=False)
class ManagedProcess:
    """A process, and the child that runs it now, in its own session: Ctrl-C at the terminal reaches `up` alone.

    `touches_alive_file`: it touches its file while it works (app/observability/probe.py). A process without a sign
    of life for `max_silent_seconds` hangs and is replaced; one that `needs_redis` is not judged while Redis is away.
    `stop_phase`: processes of a lower phase are stopped first.
    """

    name: str
    command: tuple[str, ...]
    stop_phase: int = 0
    stop_seconds: float = 1.0
    touches_alive_file: bool = False
    needs_redis: bool = False
    max_silent_seconds: float = float("inf")
    start_failure_hint: str = ""
    translate_line: Callable[[str], str] = str

    child: "subprocess.Popen[bytes]" = field(init=False)
    is_running = is_ready = False
    silent_seconds = start_at = 0.0
    failures = _last_touch_ns = 0

    @property
    def age_seconds(self) -> float:
        """For how long the child has been running; 0 when it is not."""
        return time.monotonic() - self._started_at if self.is_running else 0.0

    def start(self, environment: Mapping[str, str], console: Console, run_folder: Path) -> None:
        """Call it from the main thread, to whose life the kernel binds the child. Raises OSError."""
        self._alive_file = run_folder / f"{self.name}.alive"
        if self.touches_alive_file:
            with contextlib.suppress(OSError):  # touching an existing file needs no disk space; the time 0 is no sign
                self._alive_file.touch(mode=0o600)
                os.utime(self._alive_file, (0, 0))
        self.child = subprocess.Popen(  # noqa: S603 - our own commands
            (sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid()), *self.command),
            env={**environment, PART_NAME: self.name, ALIVE_FILE: str(self._alive_file)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.is_running, self.is_ready = True, not self.touches_alive_file
        self.silent_seconds, self._started_at = 0.0, time.monotonic()
        self._printer = threading.Thread(target=self._print_output, args=(console, self.child.stdout), daemon=True)
        self._printer.start()

    def schedule_restart(self, age_seconds: float) -> float:
        """Count a failure after `age_seconds` of running; return the pause in seconds, 0 after the first."""
        self.failures = 1 if age_seconds > STEADY_SECONDS else self.failures + 1
        pause = min(0.5 * 2 ** (self.failures - 2), 3.0) if self.failures > 1 else 0.0
        self.start_at = time.monotonic() + pause
        return pause

    def count_silence(self, seconds: float) -> None:
        """Add the seconds since the last call to the silence, unless the alive file was touched since."""
        self.silent_seconds += seconds
        if self.touches_alive_file:
            with contextlib.suppress(OSError):
                touched_ns = self._alive_file.stat().st_mtime_ns
                if touched_ns not in (0, self._last_touch_ns):
                    self._last_touch_ns = touched_ns
                    self.silent_seconds, self.is_ready = 0.0, True

    def wait(self, seconds: float = 0.0) -> int | None:
        """Return the exit code, after killing what the child started, or None if it has not ended within that time."""
        try:
            code = self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        if self.is_running:
            self._kill_group()
            self._printer.join(0.5)
            self.is_running = self.is_ready = False
        return code

    def kill(self) -> None:
        self._kill_group()
        self.child.wait()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child.pid, signal.SIGKILL)

    def _print_output(self, console: Console, stream: IO[bytes]) -> None:
        prefixer = LevelPrefixer()
        with stream:
            while line := stream.readline(65_536):
                if text := self.translate_line(line.decode("utf-8", "replace").rstrip()):
                    console.print_line(self.name, prefixer.add_level(text))
