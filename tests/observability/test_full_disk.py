"""A full disk stops no process: a failed write is reported, retried or kept in memory."""

import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.mmap_dict import MmapedDict

from app.cli.supervisor import embedded_redis
from app.cli.supervisor.console import Console
from app.cli.supervisor.process import ManagedProcess
from app.cli.supervisor.supervisor import Supervisor
from app.observability.metrics import FIRST_BYTES, AllocatedDict


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """A supervisor takes this process's signals."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


FULL = OSError(errno.ENOSPC, "No space left on device")


class Disk:
    """Takes files of up to `room` bytes."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._allocate = os.posix_fallocate

    def allocate(self, descriptor: int, offset: int, size: int) -> None:
        if size > self.room:
            raise FULL
        self._allocate(descriptor, offset, size)


@pytest.mark.parametrize("room", [0, FIRST_BYTES, 2 * FIRST_BYTES])
def test_metrics_are_counted_in_memory_where_the_disk_has_no_room(room: int, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(os, "posix_fallocate", Disk(room).allocate)
    path = tmp_path / "counter_1.db"
    counted = AllocatedDict(str(path))
    keys = [f"{'key' * 20}-{number}" for number in range(2_000)]
    for number, key in enumerate(keys):
        counted.read_value(key)
        counted.write_value(key, float(number), 0.0)

    assert [counted.read_value(key)[0] for key in keys] == [float(number) for number in range(2_000)]
    assert path.exists() == (room > 0)
    if room:
        assert list(MmapedDict.read_all_values_from_file(str(path))), "what the disk has stays readable"


def test_metric_files_have_their_space_before_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "counter_1.db"
    AllocatedDict(str(path))

    assert path.stat().st_blocks * 512 >= FIRST_BYTES


def test_a_failed_write_of_a_pid_file_is_reported_once_and_retried(tmp_path: Path, monkeypatch: Any) -> None:
    run = tmp_path / "run"
    run.mkdir()
    lines: list[str] = []
    console = Console(os.open(os.devnull, os.O_WRONLY))
    monkeypatch.setattr(console, "print_line", lambda _name, line: lines.append(line))
    supervisor = Supervisor(tmp_path, console, dict(os.environ))
    write_text = Path.write_text
    monkeypatch.setattr(Path, "write_text", _fail)
    command = (sys.executable, "-c", "import signal; signal.pause()")
    try:
        supervisor.add(ManagedProcess("sleeper", command), ManagedProcess("other", command))
        assert not (run / "sleeper.pid").exists()
        monkeypatch.setattr(Path, "write_text", write_text)
        while not (run / "other.pid").exists():
            supervisor.poll()
            time.sleep(0.01)
    finally:
        supervisor.stop()

    reported = [line for line in lines if "written" in line or "write" in line]
    assert [line.partition(" ")[0] for line in reported] == ["ERROR", "INFO"]
    assert "the disk is full" in reported[0]


def _fail(*_: Any, **__: Any) -> None:
    raise FULL


def test_a_process_that_cannot_be_started_is_retried(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "run").mkdir()
    supervisor = Supervisor(tmp_path, Console(os.open(os.devnull, os.O_WRONLY)), dict(os.environ))
    start = ManagedProcess.start
    monkeypatch.setattr(ManagedProcess, "start", _fail)
    supervisor.add(ManagedProcess("sleeper", (sys.executable, "-c", "import signal; signal.pause()")))
    monkeypatch.setattr(ManagedProcess, "start", start)
    try:
        while not (tmp_path / "run" / "sleeper.pid").exists():
            supervisor.poll()
            time.sleep(0.01)
    finally:
        supervisor.stop()


def test_backups_of_redis_are_bounded(tmp_path: Path) -> None:
    for _ in range(embedded_redis.MAX_BACKUPS + 2):
        (tmp_path / "redis").mkdir()
        embedded_redis.set_aside(tmp_path)

    assert len(list(tmp_path.glob("redis.backup-*"))) == embedded_redis.MAX_BACKUPS
    assert embedded_redis.set_aside(tmp_path) is None
