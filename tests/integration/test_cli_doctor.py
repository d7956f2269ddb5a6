"""`dashboard doctor`: green where all is well, red with the part's name and a remedy where it is not."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import redis

from app.realtime import parts
from tests.support import databases
from tests.support.stack import COMMAND, Stack, StackMaker


def run(environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    command = [*COMMAND, "doctor"]
    return subprocess.run(command, env=inherited | dict(environment), capture_output=True, text=True, timeout=60)


def verdicts(ended: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    lines = [line for line in ended.stdout.splitlines() if line.startswith(("ok", "FAIL"))]
    return {line[5:].partition(":")[0]: line[:4].strip() for line in lines}


@pytest.fixture
def environment(sqlite_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    """A migrated database and a Redis that persists nothing, with no worker."""
    key = "0123456789abcdef" * 4
    return databases.environment(home=tmp_path, database_url=sqlite_url, redis_url=redis_url, signing_key=key)


def test_a_running_system_is_well(stack: Stack):
    ended = run(stack.environment)
    assert set(verdicts(ended).values()) == {"ok"}, ended.stdout
    assert ended.returncode == 0
    assert {"database", "migrations", "redis", "broker", "beat", "worker", "ledger"} <= set(verdicts(ended))


@pytest.mark.slow
def test_a_redis_that_does_not_answer_is_named(make_stack: StackMaker):
    stack = make_stack()
    stack.freeze("redis")
    try:
        ended = run(stack.environment)
    finally:
        stack.thaw("redis")
    assert ended.returncode == 1
    found = verdicts(ended)
    assert (found["redis"], found["broker"], found["database"], found["ledger"]) == ("FAIL", "FAIL", "ok", "ok")
    assert "check REDIS_URL" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


def test_workers_that_were_never_started_are_named(environment: dict[str, str]):
    ended = run(environment)
    assert ended.returncode == 1
    found = verdicts(ended)
    assert (found["beat"], found["worker"], found["redis"], found["migrations"]) == ("FAIL", "FAIL", "ok", "ok")
    assert "start `dashboard worker` and `dashboard beat`" in ended.stdout


def test_a_redis_that_keeps_nothing_is_told(environment: dict[str, str]):
    assert verdicts(run(environment))["redis persistence"] == "FAIL"


def test_a_database_that_was_not_migrated_is_told(environment: dict[str, str], tmp_path):
    ended = run(environment | {"DATABASE_URL": f"sqlite:///{tmp_path / 'empty.db'}"})
    assert verdicts(ended)["migrations"] == "FAIL"
    assert "run `dashboard migrate`" in ended.stdout


def test_faults_of_the_configuration_are_told_all_at_once(environment: dict[str, str]):
    ended = run(environment | {"DASHBOARD_SIGNING_KEY": "short", "PAYOUT_URL": "https://payout.example"})
    assert ended.returncode == 1
    assert verdicts(ended) == {"configuration": "FAIL"}
    assert "DASHBOARD_SIGNING_KEY" in ended.stdout
    assert "PAYOUT_SECRET" in ended.stdout


def test_a_process_whose_clock_is_far_from_redis_is_named(environment: dict[str, str], redis_url: str):
    record = {"kind": "worker", "process": "far-away:7", "version": "1", "python": "3.11"}
    with redis.Redis.from_url(redis_url) as client:
        client.zadd(parts.PARTS_KEY, {json.dumps(record): client.time()[0]})
        client.set(parts.CLOCK_KEY + "far-away:7", "3600.000")
    ended = run(environment)
    assert verdicts(ended)["clocks"] == "FAIL"
    assert "worker far-away:7 is 3600 s ahead" in ended.stdout
