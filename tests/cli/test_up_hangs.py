"""`dashboard up` replaces a process that was killed or hangs; doctor, `/readyz` and the log name one that hangs."""

import contextlib
import os
import signal
from pathlib import Path

import pytest
import redis
import requests

from tests.cli.commands import call_command, has_new_pid, is_ready, verdicts
from tests.support.machine_speed import slowdown
from tests.support.processes import is_alive, until
from tests.support.stack import Stack, StackMaker

FORK_SERVERS = ("fork-server-background", "fork-server-web")
PARTS = ("redis", "web-1", "web-2", "worker", "worker-payments", "worker-webhooks", "beat", *FORK_SERVERS)
NAMED_SECONDS = 60
REPLACED_SECONDS = 120


@pytest.fixture(scope="module")
def pair(make_shared_stack: StackMaker) -> Stack:
    return make_shared_stack(webs=2)


@pytest.fixture
def stack(pair: Stack) -> Stack:
    """A system with two web processes that the tests of this file break; it works again when a test begins."""
    pair.wait_until_whole(REPLACED_SECONDS)
    return pair


@pytest.mark.slow
def test_each_killed_process_works_again_within_five_seconds(stack: Stack) -> None:
    for part in PARTS:
        killed, since = stack.pid(part), float(stack.redis().time()[0])
        os.kill(killed, signal.SIGKILL)
        until(
            lambda part=part, killed=killed: has_new_pid(stack, part, killed) and is_alive(stack.pid(part)),
            5 * slowdown(),
            f"{part} runs again",
        )
        until(
            lambda since=since: ticked_after(stack, since),
            15 * slowdown(),
            f"beat and worker tick after {part} was killed",
        )
        until(lambda: is_ready(stack), 10 * slowdown(), f"web answers after {part} was killed")
    until(lambda: zombies_of(stack.process.pid) == [], 10, "`up` takes the exit codes of a killed worker's pool")


def zombies_of(parent: int) -> list[str]:
    ended = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent_pid = file.read_text().rpartition(")")[2].split()[:2]
            if state == "Z" and int(parent_pid) == parent:
                ended.append(file.parent.name)
    return ended


@pytest.mark.slow
def test_a_fork_server_that_ends_or_hangs_is_replaced_and_takes_no_process_with_it(stack: Stack) -> None:
    others = set(PARTS) - {*FORK_SERVERS, "web-2"}
    pids = {part: stack.pid(part) for part in PARTS}
    loaded = stack.home / "run" / "fork-server-web.alive"
    until(lambda: loaded.stat().st_mtime > 0, REPLACED_SECONDS, "the server has loaded the application")
    stack.kill("fork-server-background")
    stack.freeze("fork-server-web")
    stack.kill("web-2")  # for which the frozen server is asked
    for part in (*FORK_SERVERS, "web-2"):
        until(
            lambda part=part: has_new_pid(stack, part, pids[part]) and is_alive(stack.pid(part)),
            REPLACED_SECONDS,
            f"{part} is replaced",
        )
    stack.wait_until_whole(REPLACED_SECONDS)
    assert {part: stack.pid(part) for part in others} == {part: pids[part] for part in others}


def ticked_after(stack: Stack, moment: float) -> bool:
    try:
        return float(stack.redis().get("beat:tick") or 0) > moment + 1.5
    except redis.RedisError:
        return False


def silent(stack: Stack) -> list[str]:
    try:
        return requests.get(f"{stack.url}/readyz", timeout=2).json().get("silent", [])
    except requests.RequestException:  # the stopped process took the connection
        return []


@pytest.mark.slow
def test_a_payment_worker_and_a_web_process_that_hang_are_named_and_replaced(stack: Stack) -> None:
    hung = {part: stack.pid(part) for part in ("worker-payments", "web-2")}
    for part in hung:
        stack.freeze(part)

    until(lambda: set(silent(stack)) == set(hung), NAMED_SECONDS, "both are named", pause=0.2)
    # In this process: a doctor that starts slowly would come after the replacement.
    found = verdicts(call_command("doctor", environment=stack.environment))
    assert {name for name, verdict in found.items() if verdict != "ok"} == {"worker-payments", "web"}

    for part, pid in hung.items():
        stack.wait_for_log(f"{part} hangs: no sign of life", REPLACED_SECONDS)
        until(lambda part=part, pid=pid: has_new_pid(stack, part, pid), REPLACED_SECONDS, f"{part} is replaced")
    until(
        lambda: set(verdicts(call_command("doctor", environment=stack.environment)).values()) == {"ok"},
        REPLACED_SECONDS,
        "doctor passes",
    )
    assert stack.log_lines("up ", "web-1 hangs") == []


@pytest.mark.slow
def test_only_an_embedded_redis_that_hangs_is_replaced(stack: Stack) -> None:
    pids = {part: stack.pid(part) for part in ("redis", "web-1")}
    before = len(stack.log_lines("hangs: no sign of life"))
    stack.freeze("redis")

    stack.wait_for_log("redis hangs: no sign of life", REPLACED_SECONDS)
    until(lambda: has_new_pid(stack, "redis", pids["redis"]), REPLACED_SECONDS, "Redis is replaced")
    stack.wait_until_whole(REPLACED_SECONDS)

    assert stack.pid("web-1") == pids["web-1"]
    named = stack.log_lines("hangs: no sign of life")[before:]
    assert [line for line in named if " redis hangs" not in line] == []
