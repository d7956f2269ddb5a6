"""One running part: started on a leash, its output printed, its whole process group ended."""

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
from app.cli.supervisor.console import Console
from app.cli.supervisor.log_levels import Levels
from app.cli.supervisor.parts import Part
from app.observability.probe import ALIVE_FILE, PART_NAME

MAX_LINE_BYTES = 65_536
OUTPUT_SECONDS = 0.5


class Child:
    """A process of a part, in a session of its own: Ctrl-C at the terminal reaches the supervisor alone."""

    def __init__(self, part: Part, environment: Mapping[str, str], console: Console, alive_file: Path) -> None:
        self.part = part
        self.started = time.monotonic()
        self.silent_seconds = 0.0
        self._console = console
        self._alive_file, self._last_sign, self._ready = alive_file, 0, not part.gives_signs
        self._reset_sign()
        # From the main thread only: the leash is tied to the thread that starts the process.
        self._process = subprocess.Popen(  # noqa: S603 - our own commands
            (sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid()), *part.command),
            env={**environment, **part.environment, ALIVE_FILE: str(alive_file), PART_NAME: part.name},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None  # noqa: S101 - given PIPE above
        self._pump = threading.Thread(target=self._print_output, args=(self._process.stdout,), daemon=True)
        self._pump.start()
        self._reaped = False

    def _reset_sign(self) -> None:
        """A modification time of 0 stands for no sign: the file exists already, so a sign needs no disk space."""
        with contextlib.suppress(OSError):
            self._alive_file.touch(mode=0o600)
            os.utime(self._alive_file, (0, 0))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def is_ready(self) -> bool:
        return self._ready

    def look(self, seconds: float) -> None:
        """Count the seconds since the last look as silence, unless the part has given a sign since."""
        self.silent_seconds += seconds
        if not self.part.gives_signs:
            return
        with contextlib.suppress(OSError):
            sign = self._alive_file.stat().st_mtime_ns
            if sign not in (0, self._last_sign):
                self._last_sign = sign
                self.note_sign()

    def note_sign(self) -> None:
        self.silent_seconds, self._ready = 0.0, True

    def exit_code(self) -> int | None:
        """None while it runs; otherwise what it left with, after whatever it started is gone too."""
        code = self._process.poll()
        if code is not None:
            self._reap()
        return code

    def ask_to_stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> bool:
        """Tell whether it has ended within that time; what it started is ended then."""
        try:
            self._process.wait(max(seconds, 0.0))
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
        if not self._reaped:
            self._kill_group()
            self._pump.join(OUTPUT_SECONDS)
            self._reaped, self._ready = True, False

    def _print_output(self, stream: IO[bytes]) -> None:
        levels = Levels()
        with stream:
            while line := stream.readline(MAX_LINE_BYTES):
                if text := self.part.translate(line.decode("utf-8", "replace").rstrip()):
                    self._console.say(self.part.name, levels.give(text))


def describe_exit(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
