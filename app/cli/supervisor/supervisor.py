"""Starts processes, replaces those that exit or hang, and stops all in order.

Own code in place of supervisord, circus or honcho: none of them ends the children of a killed supervisor, and none
replaces a process that runs but gives no sign of life.
"""

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import click

from app.cli.supervisor.child_process import ChildProcess, describe_exit
from app.cli.supervisor.console import SUPERVISOR, Console
from app.cli.supervisor.home import Home
from app.cli.supervisor.process_specs import ProcessSpec

STEADY_SECONDS = 10.0  # an exit after this time is not a failure in a row
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 3.0
MAX_FAILURES_BEFORE_READY = 2
POLL_SECONDS = 0.05
FIRST_WAIT_LOG_SECONDS = 2.0
NEXT_WAIT_LOG_SECONDS = 15.0
MAX_START_SECONDS = 120.0  # a process without a sign of life by then hangs in its start
MAX_POLL_GAP_SECONDS = 1.0  # while the supervisor itself is suspended, its processes are not silent
WRITE_RETRY_SECONDS = 1.0


class _ManagedProcess:
    """A process's present child, and when to start the next: at once after one failure, after a pause from the next."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.child: ChildProcess | None = None
        self.failures = 0
        self.start_at = 0.0

    def schedule_restart(self, age_seconds: float) -> float:
        """Count a failure after `age_seconds` of running; return the pause before the next start in seconds."""
        self.failures = 1 if age_seconds > STEADY_SECONDS else self.failures + 1
        pause = FIRST_PAUSE_SECONDS * 2 ** (self.failures - 2) if self.failures > 1 else 0.0
        pause = min(pause, MAX_PAUSE_SECONDS)
        self.start_at = time.monotonic() + pause
        return pause


class Supervisor:
    """Runs in the main thread. A signal sets `stop_requested`; a second one kills what is still running."""

    def __init__(self, home: Home, console: Console, environment: Mapping[str, str]) -> None:
        self._home, self._console, self._environment = home, console, environment
        self._processes: dict[str, _ManagedProcess] = {}
        self.stop_requested = threading.Event()
        self.redis_accepts_writes = True
        self._signals = 0
        self._polled_at = time.monotonic()
        self._unwritten_pids: dict[str, int] = {}
        self._write_retry_at = 0.0
        signal.signal(signal.SIGTERM, self._on_signal)
        for number in (signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # ignored under nohup and a shell's `&`
                signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._signals += 1
        self.stop_requested.set()

    def log(self, level: str, message: str) -> None:
        self._console.print_line(SUPERVISOR, f"{level} {message}")

    def start_once(self, spec: ProcessSpec) -> ChildProcess:
        """Start a process that ends by itself; pass it to `wait_for_exit`."""
        return ChildProcess(spec, self._environment, self._console, self._home.alive_file(spec.name))

    def wait_for_exit(self, child: ChildProcess) -> int:
        """Return the exit code. Kills the process when a stop is requested."""
        while not child.wait(POLL_SECONDS):
            if self.stop_requested.is_set():
                child.kill()
        return child.exit_code() or 0

    def add(self, specs: Sequence[ProcessSpec]) -> None:
        """Start processes and keep them running."""
        for spec in specs:
            self._start(self._processes.setdefault(spec.name, _ManagedProcess(spec)))

    def _start(self, process: _ManagedProcess) -> None:
        name = process.spec.name
        try:
            process.child = self.start_once(process.spec)
        except OSError as error:  # out of memory, processes or files
            pause = process.schedule_restart(0.0)
            self.log("ERROR", f"{name} cannot be started: {error}; trying again in {pause:.1f} s")
            return
        self._unwritten_pids[name] = process.child.pid
        self._write_pids()

    def _write_pids(self) -> None:
        """Write the pid files that are due. A full disk is logged once and retried: no process depends on the files."""
        try:
            for name, pid in list(self._unwritten_pids.items()):
                self._home.write_pid(name, pid)
                del self._unwritten_pids[name]
        except OSError as error:
            if self._write_retry_at == 0.0:
                self.log("ERROR", f"cannot write to {self._home.path}: {_describe_write_error(error)}")
            self._write_retry_at = time.monotonic() + WRITE_RETRY_SECONDS
        else:
            if self._write_retry_at:
                self.log("INFO", f"{self._home.path} can be written to again")
            self._write_retry_at = 0.0

    def poll(self) -> None:
        """Restart processes that exited, and kill those that hang."""
        now = time.monotonic()
        passed, self._polled_at = min(now - self._polled_at, MAX_POLL_GAP_SECONDS), now
        for process in self._processes.values():
            if process.child is None:
                if now >= process.start_at:
                    self._start(process)
            elif (code := process.child.exit_code()) is not None:
                self._handle_exit(process, process.child, code)
            else:
                self._kill_if_silent(process.child, passed)
        if self._unwritten_pids and now > self._write_retry_at:
            self._write_pids()

    def _kill_if_silent(self, child: ChildProcess, passed: float) -> None:
        child.count_silence(passed)
        if child.spec.needs_redis and not self.redis_accepts_writes:
            child.silent_seconds = 0.0
        limit = (
            child.spec.max_silent_seconds if child.is_ready else max(child.spec.max_silent_seconds, MAX_START_SECONDS)
        )
        if child.silent_seconds > limit:
            self.log("WARNING", f"{child.spec.name} hangs: no sign of life for {limit:.0f} s; killing it")
            child.kill()

    def _handle_exit(self, process: _ManagedProcess, child: ChildProcess, code: int) -> None:
        """Schedule the restart. The pid file stays until the new process replaces it."""
        self._home.remove_live_gauges(child.pid)
        process.child = None
        pause = process.schedule_restart(child.age_seconds)
        when = f"in {pause:.1f} s" if pause else "now"
        row = f", {process.failures} times in a row" if process.failures > MAX_FAILURES_BEFORE_READY else ""
        self.log("WARNING", f"{process.spec.name} {describe_exit(code)}{row}; starting it again {when}")

    def record_sign_of_life(self, name: str) -> None:
        """Record a sign of life that another thread has seen."""
        process = self._processes.get(name)
        if process and (child := process.child):
            child.record_sign_of_life()

    def wait_until(self, condition: Callable[[], bool], problem: Callable[[], str], seconds: float) -> None:
        """Poll the processes until `condition()` or a stop request; log now and then what is missing.

        Raises click.ClickException when a process cannot start or the time is over.
        """
        began = time.monotonic()
        next_log = began + FIRST_WAIT_LOG_SECONDS
        while not self.stop_requested.is_set() and not condition():
            self.poll()
            self._check_failures()
            now = time.monotonic()
            if now > began + seconds:
                raise click.ClickException(f"not ready after {seconds:.0f} s: {problem()}")
            if now > next_log:
                next_log = now + NEXT_WAIT_LOG_SECONDS
                self.log("INFO", f"waiting: {problem()}")
            self.stop_requested.wait(POLL_SECONDS)

    def _check_failures(self) -> None:
        for name, process in self._processes.items():
            if process.failures > MAX_FAILURES_BEFORE_READY:
                hint = f"; {process.spec.start_failure_hint}" if process.spec.start_failure_hint else ""
                raise click.ClickException(f"{name} cannot start: it ended {process.failures} times{hint}")

    def unready(self) -> list[str]:
        return [name for name, each in self._processes.items() if not (each.child and each.child.is_ready)]

    def min_age(self, names: Sequence[str]) -> float:
        """Return for how many seconds all of these have been running."""
        children = [self._processes[name].child for name in names]
        return min(child.age_seconds if child else 0.0 for child in children)

    def kill(self, names: Sequence[str], reason: str) -> None:
        """Kill processes that run but do not work; `poll` starts them again."""
        for name in names:
            if child := self._processes[name].child:
                self.log("WARNING", f"{name} {reason}: killing it")
                child.kill()

    def stop(self) -> None:
        """Stop all, phase after phase. A second signal, or a process that takes too long, leads to a kill."""
        self.log("INFO", "stopping")
        children = [each.child for each in self._processes.values() if each.child]
        for phase in sorted({child.spec.stop_phase for child in children}):
            stopping = [child for child in children if child.spec.stop_phase == phase]
            for child in stopping:
                child.terminate()
            started = time.monotonic()
            for child in stopping:
                self._stop_or_kill(child, started)
        for name in self._processes:
            self._home.remove_pid(name)

    def _stop_or_kill(self, child: ChildProcess, started: float) -> None:
        while not child.wait(POLL_SECONDS):
            if self._signals > 1 or time.monotonic() - started > child.spec.stop_seconds:
                self.log("WARNING", f"{child.spec.name} did not stop in time: killed")
                child.kill()
        self._home.remove_pid(child.spec.name)


def _describe_write_error(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; the processes go on, and are restarted as needed"
    return os.strerror(error.errno or 0)
