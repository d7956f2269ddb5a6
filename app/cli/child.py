"""One running part: started on a leash, its output printed, its whole process group ended."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import IO

from app.cli import leash
from app.cli.console import Console
from app.cli.levels import Levels
from app.cli.parts import Part
from app.cli.ready import READY_FD

MAX_LINE_BYTES = 65_536
OUTPUT_SECONDS = 0.5


class Child:
    """A process of a part, in a session of its own: Ctrl-C at the terminal reaches the supervisor alone."""

    def __init__(self, part: Part, environment: Mapping[str, str], console: Console) -> None:
        self.part = part
        self.started = time.monotonic()
        self._console = console
        self._ready_fd, told_fd = os.pipe()
        os.set_blocking(self._ready_fd, False)
        try:
            # From the main thread only: the leash is tied to the thread that starts the process.
            self._process = subprocess.Popen(  # noqa: S603 - our own commands
                (sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *part.command),
                env={**environment, **part.environment, READY_FD: str(told_fd)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(told_fd,),
                start_new_session=True,
            )
        finally:
            os.close(told_fd)
        assert self._process.stdout is not None  # noqa: S101 - given PIPE above
        self._pump = threading.Thread(target=self._print_output, args=(self._process.stdout,), daemon=True)
        self._pump.start()
        self._ready = not part.tells_ready

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def is_ready(self) -> bool:
        if not self._ready:
            with contextlib.suppress(BlockingIOError):
                self._ready = bool(os.read(self._ready_fd, 1))
        return self._ready

    def exit_code(self) -> int | None:
        """None while it runs; otherwise what it left with, after whatever it started is gone too."""
        code = self._process.poll()
        if code is not None:
            self._bury()
        return code

    def ask_to_stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> bool:
        """Tell whether it has ended within that time; it is buried then."""
        try:
            self._process.wait(max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            return False
        self._bury()
        return True

    def kill(self) -> None:
        self._kill_group()
        self._process.wait()
        self._bury()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _bury(self) -> None:
        if self._ready_fd >= 0:
            self._kill_group()
            self._pump.join(OUTPUT_SECONDS)
            os.close(self._ready_fd)
            self._ready_fd, self._ready = -1, False

    def _print_output(self, stream: IO[bytes]) -> None:
        levels = Levels()
        with stream:
            while line := stream.readline(MAX_LINE_BYTES):
                if text := self.part.translate(line.decode("utf-8", "replace").rstrip()):
                    self._console.say(self.part.name, levels.give(text))


def describe_exit(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
