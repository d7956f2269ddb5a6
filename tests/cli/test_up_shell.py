"""`dashboard up` uses only the variables and streams of its shell that are meant for it."""

import errno
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from app.cli.supervisor import console as console_module
from app.cli.supervisor import up
from app.cli.supervisor.console import Console
from tests.cli.commands import is_ready, run_command, run_doctor, run_in, verdicts
from tests.support.backups import copy_redis_data
from tests.support.processes import free_port, until
from tests.support.stack import COMMAND, Stack

NOWHERE = "http://127.0.0.1:1"
HOSTILE = {
    **dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), NOWHERE),
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "CELERY_BROKER_READ_URL": "redis://127.0.0.1:1/0",
    "CELERY_CONFIG_MODULE": "no.such.module",
    "FLASK_DEBUG": "1",
    "REDIS_URL": " ",
    "DATABASE_URL": "\n",
}


def start_without_streams(system: Stack) -> "subprocess.Popen[bytes]":
    """With descriptors 0 to 2 closed and SIGHUP ignored, as `nohup dashboard up >&- 2>&- <&-`."""
    command = ["bash", "-c", 'trap "" HUP; exec "$@" <&- >&- 2>&-', "bash", *COMMAND, "up", "--port", str(system.port)]
    system.folder.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(command, env=system.environment, cwd=system.folder)


@pytest.mark.slow
def test_foreign_variables_unusual_folder_names_closed_streams_and_a_hangup_have_no_effect(tmp_path: Path) -> None:
    system = Stack(tmp_path / 'a %20 b?c#d é"e', **HOSTILE)
    up = start_without_streams(system)
    try:
        until(lambda: is_ready(system), 120, "web is ready")
        up.send_signal(signal.SIGHUP)
        assert all(is_ready(system) for _ in range(20))
        assert up.poll() is None
        assert (system.home / "up.lock").read_bytes() == b""
        assert (system.home / "dashboard.db").stat().st_size > 0
        until(lambda: set(verdicts(run_doctor(system.environment)).values()) == {"ok"}, 60, "doctor passes")
    finally:
        up.terminate()
    assert up.wait(30) == 0


@pytest.mark.parametrize("command", ["up", "web"])
def test_the_port_may_come_from_the_environment(command: str, tmp_path: Path) -> None:
    system = Stack(tmp_path)
    system.home.mkdir()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        system.environment |= {"PORT": str(port), "REDIS_URL": f" redis://127.0.0.1:{free_port()}/0\n"}
        ended = run_command(command, environment=system.environment, folder=tmp_path)
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr


@pytest.mark.slow
def test_a_broken_append_only_file_is_reported_with_a_remedy_that_works(stack: Stack, tmp_path: Path) -> None:
    system = Stack(tmp_path)
    copy_redis_data(stack.home / "redis", system.home / "redis")
    (file,) = (system.home / "redis" / "appendonlydir").glob("*.incr.aof")
    file.write_bytes(b"this is no append-only file\r\n" * 10)

    refused = run_in(system, "up", "--port", str(system.port))
    assert refused.returncode == 1
    assert "--reset-redis" in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr

    for _ in range(2):
        ended = run_in(system, "up", "--reset-redis", "--port", "1", "--host", "192.0.2.1")  # not our address
        assert ended.returncode == 1
    assert (system.home / "redis").is_dir(), "nothing is set aside when `up` cannot start anyway"

    argv = [*COMMAND, "up", "--reset-redis", "--port", str(system.port)]
    up = subprocess.Popen(argv, env=system.environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        until(lambda: is_ready(system), 120, "web is ready")
    finally:
        up.terminate()
        errors = up.communicate(timeout=60)[1].decode()
    (backup,) = system.home.glob("redis.backup-*")
    assert str(backup) in errors
    assert (backup / "appendonlydir" / file.name).read_bytes().startswith(b"this is no")


def test_where_the_system_has_no_pidfds_each_process_imports_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    processes = up._processes("127.0.0.1", 5000, 1, 3.0)
    assert up._add_fork_server("background", processes) is processes[0].fork_server is not None
    monkeypatch.setattr(os, "pidfd_open", refuse)
    processes = up._processes("127.0.0.1", 5000, 1, 3.0)
    assert up._add_fork_server("background", processes) is None
    assert [process.fork_server for process in processes] == [None] * len(processes)


def test_a_terminal_shows_warnings_and_the_ready_line_and_the_log_file_has_all(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    log = tmp_path / "logs" / "up.log"
    console = Console(writer, log)
    console.print_line("worker", "INFO event.undelivered room=protocol:P1")
    console.print_line("worker", "WARNING event.dropped room=protocol:P1")
    console.print_line("", "ready: http://127.0.0.1:5000")
    console.close()
    os.close(writer)
    shown = os.read(reader, 10_000).decode()
    os.close(reader)

    assert re.findall(r"event\.\w+|ready", shown) == ["event.dropped", "ready"]
    assert re.findall(r"event\.\w+|ready", log.read_text()) == ["event.undelivered", "event.dropped", "ready"]


def test_the_log_file_and_the_one_before_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_module, "MAX_LOG_BYTES", 1_000)
    log = tmp_path / "logs" / "up.log"
    console = Console(os.open(os.devnull, os.O_WRONLY), log)
    for number in range(100):
        console.print_line("worker", f"INFO line {number:080}")
    console.close()

    assert sorted(path.name for path in log.parent.iterdir()) == ["up.1.log", "up.log"]
    assert all(path.stat().st_size <= 1_200 for path in log.parent.iterdir())
    assert f"{99:080}" in log.read_text()
