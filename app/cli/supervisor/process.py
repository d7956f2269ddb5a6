"""One process of `dashboard up`: bound to its parent's life, with its output printed and its signs of life counted."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from app.cli.supervisor import parent_death
from app.cli.supervisor.console import Console, LevelPrefixer
from app.observability.probe import ALIVE_FILE, PART_NAME

STEADY_SECONDS = 10.0  # an exit after this time is not a failure in a row
MAX_FORK_SECONDS = 15.0
# `-P`: no module of the working directory may replace ours.
PYTHON = (sys.executable, "-P", "-m")
DASHBOARD = (*PYTHON, "app.cli")


def can_fork() -> bool:
    """Whether this system can tell a fork server's children: pidfd_open(2) of Linux 5.3, which some sandboxes lack."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


class Child(Protocol):
    """The part of subprocess.Popen that is used here."""

    pid: int

    def wait(self, timeout: float | None = None) -> int: ...

    def terminate(self) -> None: ...


class ForkedChild:
    """A child of this process that a fork server made."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None
        self._lock = threading.Lock()
        self._descriptor = os.pidfd_open(pid)  # readable when the process has ended

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. Raises subprocess.TimeoutExpired."""
        if self._code is None and not select.select([self._descriptor], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        with self._lock:
            if self._code is None:
                self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                os.close(self._descriptor)
        return self._code

    def terminate(self) -> None:
        with self._lock:
            if self._code is None:
                signal.pidfd_send_signal(self._descriptor, signal.SIGTERM)


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
    fork_server: "ForkServer | None" = None

    child: Child = field(init=False)
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
        reader, writer = os.pipe()
        own = {PART_NAME: self.name, ALIVE_FILE: str(self._alive_file)}
        try:
            self.child = self._start_child(environment, own, writer)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        self.is_running, self.is_ready = True, not self.touches_alive_file
        self.silent_seconds, self._started_at = 0.0, time.monotonic()
        stream = os.fdopen(reader, "rb")
        self._printer = threading.Thread(target=self._print_output, args=(console, stream), daemon=True)
        self._printer.start()

    def _start_child(self, environment: Mapping[str, str], own: dict[str, str], output: int) -> Child:
        if self.fork_server:
            return self.fork_server.fork(self.command[len(DASHBOARD) :], own, output)
        return self._execute({**environment, **own}, output, subprocess.DEVNULL)

    def _execute(self, environment: dict[str, str], output: int, stdin: int) -> Child:
        return subprocess.Popen(  # noqa: S603 - our own commands
            (sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid()), *self.command),
            env=environment,
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

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


class ForkServer(ManagedProcess):
    """A process that has imported the application and forks `dashboard` commands (fork_server.py)."""

    def _start_child(self, environment: Mapping[str, str], own: dict[str, str], output: int) -> Child:
        self._requests, requests = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._requests.settimeout(MAX_FORK_SECONDS)
        with requests:
            return self._execute({**environment, **own}, output, requests.fileno())

    def fork(self, arguments: tuple[str, ...], environment: dict[str, str], output: int) -> ForkedChild:
        """Have the server run `dashboard ARGUMENTS`. Raises OSError; a server that does not answer is killed."""
        request = json.dumps({"arguments": arguments, "environment": environment}).encode()
        try:
            socket.send_fds(self._requests, [request], [output])
            if answer := self._requests.recv(32):
                return ForkedChild(int(answer))
        except TimeoutError:
            self.kill()
            raise
        raise ConnectionResetError(f"{self.name} has ended")
