"""Child processes of the tests: each in its own session, logged to a file, and killed when the test run dies."""

import ctypes
import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.support.machine_speed import patience

PR_SET_PDEATHSIG = 1
PORTS = range(10_000, 30_000)
RESERVED = Path(tempfile.gettempdir()) / "dashboard-test-ports"
_reservations: list[IO[str]] = []
# Looked up here, because the forked child of a process with threads may only call it.
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class TimedOutError(AssertionError):
    """A condition did not hold in time."""


def until(condition: Callable[[], Any], seconds: float, claim: str, *, pause: float | None = None) -> Any:
    """Return the first true result of `condition`; fail with `claim` if there is none within `patience(seconds)`.

    Without a `pause` the pauses grow from 20 to 100 ms: many conditions are requests to a system that is at work.
    """
    began = time.monotonic()
    while True:
        answer = condition()
        if answer:
            return answer
        waited = time.monotonic() - began
        if waited > seconds and waited > patience(seconds):
            raise TimedOutError(f"not within {waited:.0f} s: {claim}")
        time.sleep(min(0.02 + waited / 20, 0.1) if pause is None else pause)


def free_port() -> int:
    """A free port, reserved against other test runs until this process ends.

    Below the ephemeral ports, because an outgoing connection could take one of those at any moment.
    """
    RESERVED.mkdir(mode=0o777, exist_ok=True)
    while True:
        port = random.choice(PORTS)
        reservation = (RESERVED / str(port)).open("w")
        with socket.socket() as probe:
            try:
                fcntl.flock(reservation, fcntl.LOCK_EX | fcntl.LOCK_NB)
                probe.bind(("127.0.0.1", port))
            except OSError:
                reservation.close()
                continue
        _reservations.append(reservation)
        return port


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _die_with_the_test_run() -> None:
    if _PRCTL:
        _PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    user: int | None = None,
    cwd: Any = None,
) -> "subprocess.Popen[bytes]":
    """Start `argv` with its output appended to the file `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            preexec_fn=_die_with_the_test_run,  # noqa: PLW1509 - one system call
        )


def stop(process: "subprocess.Popen[bytes]", *, seconds: float = 10, sign: int = signal.SIGTERM) -> int:
    """Terminate the process, and kill its session if it does not end; returns its exit code."""
    if process.poll() is None:
        process.send_signal(sign)
        try:
            return process.wait(patience(seconds))
        except subprocess.TimeoutExpired:
            kill_group(process.pid)
    return process.wait(patience(seconds))


def kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def is_alive(pid: int) -> bool:
    """True while `pid` runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the second if it ends while its file is read
        return False
    return state not in "ZX"
