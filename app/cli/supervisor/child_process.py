"""One running process of `dashboard up`: bound to its parent's life, with its output printed and its signs counted."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from app.cli.supervisor import parent_death
from app.cli.supervisor.console import Console, LevelPrefixer
from app.cli.supervisor.process_specs import ProcessSpec
from app.observability.probe import ALIVE_FILE, PART_NAME

MAX_LINE_BYTES = 65_536
OUTPUT_SECONDS = 0.5


class ChildProcess:
    """A child in its own session: Ctrl-C at the terminal reaches the supervisor alone.

    Start it from the main thread: the kernel binds it to the life of the thread that starts it.
    """

    def __init__(self, spec: ProcessSpec, environment: Mapping[str, str], console: Console, alive_file: Path) -> None:
        self.spec = spec
        self.silent_seconds = 0.0
        self.is_ready = not spec.touches_alive_file
        self._started_at = time.monotonic()
        self._console = console
        self._alive_file, self._last_touch_ns = alive_file, 0
        if spec.touches_alive_file:
            self._reset_alive_file()
        self._process = subprocess.Popen(  # noqa: S603 - our own commands
            (sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid()), *spec.command),
            env={**environment, **spec.environment, ALIVE_FILE: str(alive_file), PART_NAME: spec.name},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None  # noqa: S101 - given PIPE above
        self._printer = threading.Thread(target=self._print_output, args=(self._process.stdout,), daemon=True)
        self._printer.start()
        self._is_reaped = False

    def _reset_alive_file(self) -> None:
        """Create the file with a modification time of 0, which is no sign of life: a sign then needs no disk space."""
        with contextlib.suppress(OSError):
            self._alive_file.touch(mode=0o600)
            os.utime(self._alive_file, (0, 0))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self._started_at

    def count_silence(self, seconds: float) -> None:
        """Add the seconds since the last call to the silence, unless the alive file was touched since."""
        self.silent_seconds += seconds
        if self.spec.touches_alive_file:
            with contextlib.suppress(OSError):
                touched_ns = self._alive_file.stat().st_mtime_ns
                if touched_ns not in (0, self._last_touch_ns):
                    self._last_touch_ns = touched_ns
                    self.record_sign_of_life()

    def record_sign_of_life(self) -> None:
        self.silent_seconds, self.is_ready = 0.0, True

    def exit_code(self) -> int | None:
        """Return the exit code, after ending what the process started, or None while it runs."""
        code = self._process.poll()
        if code is not None:
            self._reap()
        return code

    def terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> bool:
        """Return whether the process has ended within that time."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._reap()
        return True

    def kill(self) -> None:
        self._kill_group()
        self._process.wait()
        self._reap()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _reap(self) -> None:
        if not self._is_reaped:
            self._kill_group()
            self._printer.join(OUTPUT_SECONDS)
            self._is_reaped, self.is_ready = True, False

    def _print_output(self, stream: IO[bytes]) -> None:
        prefixer = LevelPrefixer()
        with stream:
            while line := stream.readline(MAX_LINE_BYTES):
                if text := self.spec.translate_line(line.decode("utf-8", "replace").rstrip()):
                    self._console.print_line(self.spec.name, prefixer.add_level(text))


def describe_exit(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
