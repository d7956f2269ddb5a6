"""Signals to `dashboard up`: one that arrives twice is one stop; a later one kills what is still running."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.supervisor import supervisor as module
from app.cli.supervisor.console import Console
from app.cli.supervisor.process import ManagedProcess
from app.cli.supervisor.supervisor import SAME_SIGNAL_SECONDS, Supervisor
from tests.support.processes import until

SLOW_TO_STOP = ("/bin/sh", "-c", "trap 'read line <go; exit 0' TERM; touch ready; while :; do sleep 0.05; done")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def stopping(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """A supervisor of a process that ends when something is written to the pipe `go`."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("go")
    (tmp_path / "run").mkdir()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    made = Supervisor(tmp_path, Console(log=tmp_path / "log"), os.environ)
    made.add(ManagedProcess("slow", SLOW_TO_STOP, stop_seconds=60))
    until((tmp_path / "ready").exists, 30, "the process is ready to be stopped")
    signal.raise_signal(signal.SIGTERM)
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_that_arrives_twice_lets_the_processes_end_by_themselves(stopping: Supervisor, clock: Clock) -> None:
    clock.now += SAME_SIGNAL_SECONDS / 2
    signal.raise_signal(signal.SIGTERM)
    threading.Thread(target=lambda: Path("go").write_text("now\n", "utf-8"), daemon=True).start()

    stopping.stop()

    assert stopping.processes["slow"].child.wait() == 0


def test_a_later_signal_kills_what_is_still_running(stopping: Supervisor, clock: Clock) -> None:
    clock.now += 2 * SAME_SIGNAL_SECONDS
    signal.raise_signal(signal.SIGTERM)

    stopping.stop()

    assert stopping.processes["slow"].child.wait() == -signal.SIGKILL
