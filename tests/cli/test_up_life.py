"""`dashboard up` from start to end: its output, its files, and the faults it survives."""

import os
import re
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest
import requests

from tests.cli.commands import is_ready, run_in
from tests.support.machine_speed import patience, slowdown
from tests.support.processes import free_port, is_alive, until
from tests.support.stack import COMMAND, Stack

FORK_SERVERS = ("fork-server-background", "fork-server-web")
PROCESSES = ("redis", *FORK_SERVERS, "web-1", "worker", "worker-payments", "worker-webhooks", "beat")


def processes_of(stack: Stack) -> list[int]:
    """Every living process that was started for this stack, whoever its parent is now."""
    mark = f"DASHBOARD_HOME={stack.home}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # it ended while we looked
    return [pid for pid in found if is_alive(pid)]


@pytest.fixture
def stopped(tmp_path: Path) -> Stack:
    """A system that is set up but not started."""
    return Stack(tmp_path)


def test_up_prints_its_address_once_and_answers_there(stack: Stack):
    assert re.findall(r"^ready: .*$", stack.log, re.MULTILINE) == [f"ready: {stack.url}"]
    assert requests.get(f"{stack.url}/healthz", timeout=patience(5)).status_code == 200
    assert requests.get(f"{stack.url}/readyz", timeout=patience(5)).status_code == 200


def test_every_process_has_a_pid_file(stack: Stack):
    assert sorted(path.stem for path in (stack.home / "run").glob("*.pid")) == sorted(PROCESSES)
    assert all(is_alive(stack.pid(part)) for part in PROCESSES)


def test_every_process_shows_its_own_command_and_its_own_output(stack: Stack):
    commands = {part: Path(f"/proc/{stack.pid(part)}/cmdline").read_bytes().split(b"\0") for part in PROCESSES}
    assert b"--port" in commands["web-1"]
    assert commands["worker-payments"][3:8] == [b"app.cli", b"worker", b"--queues", b"payments", b"--concurrency"]
    assert commands["beat"][3:5] == [b"app.cli", b"beat"]
    assert all(stack.log_lines(f"{part} ", "ready.") for part in PROCESSES if part.startswith("worker"))


def test_every_line_of_the_output_names_its_process_and_level(stack: Stack):
    lines = [line for line in stack.log.splitlines() if not line.startswith("ready: ")]
    assert lines
    parts, levels = (
        "up|migrate|redis|fork-server-\\w+|web-\\d|worker|worker-payments|worker-webhooks|beat",
        "DEBUG|INFO|WARNING|ERROR|CRITICAL",
    )
    assert [line for line in lines if not re.match(rf"({parts}) +\| ({levels}) ", line)] == []


def test_no_file_of_the_home_is_open_to_others(stack: Stack):
    files = [path for path in stack.home.rglob("*") if path.is_file()]
    assert {"dashboard.db", "dashboard.db-wal", "up.lock"} <= {path.name for path in files}
    assert [path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_secrets_are_in_files_of_the_owner_alone_and_in_no_argument(stack: Stack):
    private = [stack.home / "signing.key", stack.home / "run" / "redis.url", stack.home / "run" / "redis.conf"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in private] == [0o600] * 3
    key, password = private[0].read_text().strip(), re.search(r"requirepass (\S+)", private[2].read_text())[1]
    arguments = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes_of(stack))
    assert key.encode() not in arguments
    assert password.encode() not in arguments


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_however_up_ends_no_process_is_left_and_the_next_start_finds_its_data(stopped: Stack):
    stopped.start()
    check_that_forks_import_nothing(stopped)
    stopped.redis().set("kept", "yes")
    for number, code in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
        started = processes_of(stopped)
        assert len(started) > len(PROCESSES), "the workers' pool processes count too"
        stopped.process.send_signal(number)
        assert stopped.process.wait(patience(10)) == code
        until(lambda pids=started: not [pid for pid in pids if is_alive(pid)], 5, "all processes end with `up`")
        assert processes_of(stopped) == []
        assert code or list((stopped.home / "run").glob("*.pid")) == []
        assert code or not (stopped.home / "dashboard.db-wal").exists(), "a copy of the database lacks nothing"
        stopped.log_path.unlink()
        stopped.start()
        assert stopped.redis().get("kept") == b"yes"
        assert is_ready(stopped)
    check_that_a_redis_that_hangs_does_not_delay_a_stop(stopped, signal.SIGINT)


def check_that_forks_import_nothing(stack: Stack):
    """A process that imports the application by itself costs as much as its fork server; a fork costs a tenth."""
    cost = {part: processor_time(stack.pid(part)) for part in PROCESSES}
    assert cost["web-1"] < 0.4 * cost["fork-server-web"], cost
    for part in ("worker", "worker-payments", "worker-webhooks", "beat"):
        assert cost[part] < 0.4 * cost["fork-server-background"], cost


def processor_time(pid: int) -> int:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks)


def check_that_a_redis_that_hangs_does_not_delay_a_stop(stack: Stack, number: int):
    stack.freeze("redis")
    until(lambda: requests.get(f"{stack.url}/readyz", timeout=patience(30)).status_code == 503, 60, "web misses Redis")
    started = time.monotonic()
    stack.process.send_signal(number)
    assert stack.process.wait(60 * slowdown()) == 0
    assert time.monotonic() - started < 10 * slowdown()
    assert processes_of(stack) == []


def test_a_port_in_use_ends_up_with_a_clear_message(stopped: Stack):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run_in(stopped, "up", "--port", str(port))
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout


def test_a_port_that_other_programs_share_is_in_use_too(stopped: Stack):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert run_in(stopped, "up", "--web", "2", "--port", str(taken.getsockname()[1])).returncode == 1


def test_a_second_up_in_the_same_folder_is_refused_and_the_first_goes_on(stack: Stack):
    ended = run_in(stack, "up", "--port", str(free_port()))
    assert ended.returncode == 1
    assert "is in use by another `dashboard up`" in ended.stderr
    assert requests.get(f"{stack.url}/readyz", timeout=patience(5)).status_code == 200
    assert (stack.home / "run" / "redis.pid").exists()


def test_a_bad_setting_ends_up_with_the_list_of_faults(stopped: Stack):
    stopped.environment |= {"DASHBOARD_LOG_LEVEL": "LOUD", "DASHBOARD_REST_PER_TOKEN": "many"}
    ended = run_in(stopped, "up", "--port", "0")
    assert ended.returncode == 2
    assert "DASHBOARD_LOG_LEVEL" in ended.stderr
    assert "DASHBOARD_REST_PER_TOKEN" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout


def test_a_database_that_does_not_answer_ends_up_with_a_clear_message(stopped: Stack):
    stopped.environment["DATABASE_URL"] = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    ended = run_in(stopped, "up", "--port", "0")
    assert ended.returncode == 1
    assert "the database cannot be brought to the newest schema" in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert processes_of(stopped) == []


def test_a_database_file_that_cannot_be_created_is_reported_without_a_traceback(stopped: Stack):
    stopped.environment["DATABASE_URL"] = "sqlite:////no/such/folder/dashboard.db"
    ended = run_in(stopped, "up", "--port", "0")
    assert ended.returncode == 1
    assert "unable to open database file" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


def test_up_reports_within_five_seconds_that_it_waits_for_redis_and_gives_up_after_thirty(stopped: Stack):
    stopped.environment["REDIS_URL"] = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    began = time.monotonic()
    command = [*COMMAND, "up", "--port", "0"]
    with subprocess.Popen(
        command,
        env=stopped.environment,
        cwd=stopped.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as up:
        first = next(line for line in up.stdout if line.startswith("up "))
        said_after = time.monotonic() - began
        rest = up.communicate(timeout=patience(60))[0]
    assert "INFO waiting: Redis does not answer" in first
    assert said_after < 5 * slowdown()
    assert time.monotonic() - began < 45 * slowdown()
    assert up.returncode == 1
    assert "Error: not ready after 30 s: Redis does not answer" in rest
    assert "hunter2" not in first + rest
    assert processes_of(stopped) == []


def test_up_continues_when_its_output_is_not_read(stopped: Stack):
    command = [*COMMAND, "up", "--port", str(stopped.port)]
    with subprocess.Popen(command, env=stopped.environment, cwd=stopped.folder, stdout=subprocess.PIPE) as up:
        while not (line := up.stdout.readline()).startswith(b"ready: "):
            assert line, "up ended before it was ready"
        up.stdout.close()
        stopped.process = None
        os.kill(stopped.pid("web-1"), signal.SIGKILL)
        until(lambda: is_ready(stopped), 10 * slowdown(), "web-1 is back")
        up.terminate()
        assert up.wait(10 * slowdown()) == 0
