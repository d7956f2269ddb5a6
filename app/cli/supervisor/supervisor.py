"""Starts processes, replaces those that exit or hang, and stops all in order.

Own code in place of supervisord, circus or honcho: none of them ends the children of a killed supervisor, and none
replaces a process that runs but gives no sign of life.
"""

import contextlib
import errno
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from app.cli.supervisor.console import SUPERVISOR, Console
from app.cli.supervisor.process import ManagedProcess

MAX_FAILURES_BEFORE_READY = 2
POLL_SECONDS = 0.05
SAME_SIGNAL_SECONDS = 1.0  # `make run` passes on a signal that the terminal or a service manager sends to both
MAX_START_SECONDS = 120.0  # a process without a sign of life by then hangs in its start


def write_file(path: Path, text: str) -> None:
    """Write a file; the umask of `up` makes it private. Readers see the old text or the new text, never half of it."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


class Supervisor:
    """Runs in the main thread. A signal sets `stop_requested`; a later one kills what is still running."""

    def __init__(self, home: Path, console: Console, environment: Mapping[str, str]) -> None:
        self._home, self._console, self._environment = home, console, environment
        self.processes: dict[str, ManagedProcess] = {}
        self.stop_requested = threading.Event()
        self.redis_accepts_writes = True
        self._signalled_at = math.inf
        self._must_kill = False
        self._polled_at = time.monotonic()
        self._unwritten_pids: dict[str, int] = {}
        self._has_failed_to_write = False
        signal.signal(signal.SIGTERM, self._on_signal)
        for number in (signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # ignored under nohup and a shell's `&`
                signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: object) -> None:
        now = time.monotonic()
        self._signalled_at = min(self._signalled_at, now)
        self._must_kill |= now - self._signalled_at > SAME_SIGNAL_SECONDS
        self.stop_requested.set()

    def log(self, level: str, message: str) -> None:
        self._console.print_line(SUPERVISOR, f"{level} {message}")

    def launch(self, process: ManagedProcess) -> None:
        """Start a process that ends by itself. Raises OSError."""
        process.start(self._environment, self._console, self._home / "run")

    def add(self, *processes: ManagedProcess) -> None:
        """Start processes and keep them running."""
        for process in processes:
            self.processes[process.name] = process
            self._start(process)

    def _start(self, process: ManagedProcess) -> None:
        if self.find_loading(process):
            return  # the next poll tries again
        try:
            self.launch(process)
        except OSError as error:
            pause = process.schedule_restart(0.0)
            self.log("ERROR", f"{process.name} cannot be started: {error}; trying again in {pause:.1f} s")
            return
        self._unwritten_pids[process.name] = process.child.pid
        self._write_pids()

    def find_loading(self, process: ManagedProcess) -> str:
        """Return why the process cannot be forked yet, or nothing."""
        server = process.fork_server
        return f"{server.name} is loading the application" if server and not server.is_ready else ""

    def reap_orphans(self) -> None:
        """Take the exit codes of processes that became this process's children when their parent was killed."""
        own = {process.child.pid for process in self.processes.values() if process.is_running}
        with contextlib.suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if ended.si_pid in own:
                    return  # the next poll takes its exit code
                os.waitpid(ended.si_pid, 0)

    def _write_pids(self) -> None:
        """Write the pid files that are due. A full disk is logged once and retried: no process depends on the files."""
        try:
            for name, pid in list(self._unwritten_pids.items()):
                write_file(self._home / "run" / f"{name}.pid", f"{pid}\n")
                del self._unwritten_pids[name]
        except OSError as error:
            if not self._has_failed_to_write:
                is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                reason = "the disk is full; the processes go on, and are restarted as needed"
                self.log("ERROR", f"cannot write to {self._home}: {reason if is_full else error.strerror}")
            self._has_failed_to_write = True
        else:
            if self._has_failed_to_write:
                self.log("INFO", f"{self._home} can be written to again")
            self._has_failed_to_write = False

    def poll(self) -> None:
        """Restart processes that exited, and kill those that hang."""
        now = time.monotonic()
        passed = min(now - self._polled_at, 1.0)  # while the supervisor itself is suspended, no process is silent
        self._polled_at = now
        for process in self.processes.values():
            if not process.is_running:
                if now >= process.start_at:
                    self._start(process)
                continue
            age = process.age_seconds
            if (code := process.wait()) is None:
                self._kill_if_silent(process, passed)
            else:
                self._handle_exit(process, code, age)
        if self._unwritten_pids:
            self._write_pids()

    def _kill_if_silent(self, process: ManagedProcess, passed: float) -> None:
        process.count_silence(passed)
        if process.needs_redis and not self.redis_accepts_writes:
            process.silent_seconds = 0.0
        limit = process.max_silent_seconds
        if not process.is_ready:
            limit = max(limit, MAX_START_SECONDS)
        if process.silent_seconds > limit:
            self.log("WARNING", f"{process.name} hangs: no sign of life for {limit:.0f} s; killing it")
            process.kill()

    def _handle_exit(self, process: ManagedProcess, code: int, age_seconds: float) -> None:
        """Schedule the restart. The pid file stays until the new process replaces it."""
        for gauges in (self._home / "run" / "metrics").glob(f"gauge_live*_{process.child.pid}.db"):
            gauges.unlink(missing_ok=True)  # such as its number of connections
        pause = process.schedule_restart(age_seconds)
        ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
        row = f", {process.failures} times in a row" if process.failures > MAX_FAILURES_BEFORE_READY else ""
        when = f"in {pause:.1f} s" if pause else "now"
        self.log("WARNING", f"{process.name} {ended}{row}; starting it again {when}")

    def wait_until_ready(self, find_problem: Callable[[], str], seconds: float) -> None:
        """Poll the processes until no problem is found or a stop is requested. Raises click.ClickException."""
        began = time.monotonic()
        next_log = began + 2.0
        while not self.stop_requested.is_set() and (problem := find_problem()):
            self.poll()
            for name, process in self.processes.items():
                if process.failures > MAX_FAILURES_BEFORE_READY:
                    hint = f"; {process.start_failure_hint}" if process.start_failure_hint else ""
                    raise click.ClickException(f"{name} cannot start: it ended {process.failures} times{hint}")
            now = time.monotonic()
            if now > began + seconds:
                raise click.ClickException(f"not ready after {seconds:.0f} s: {problem}")
            if now > next_log:
                next_log = now + 15.0
                self.log("INFO", f"waiting: {problem}")
            self.stop_requested.wait(POLL_SECONDS)

    def stop(self) -> None:
        """Stop all, phase after phase. A later signal, or a process that takes too long, leads to a kill."""
        self.log("INFO", "stopping")
        running = [process for process in self.processes.values() if process.is_running]
        for phase in sorted({process.stop_phase for process in running}):
            stopping = [process for process in running if process.stop_phase == phase]
            for process in stopping:
                process.child.terminate()
            started = time.monotonic()
            for process in stopping:
                while process.wait(POLL_SECONDS) is None:
                    if self._must_kill or time.monotonic() - started > process.stop_seconds:
                        self.log("WARNING", f"{process.name} did not stop in time: killed")
                        process.kill()
