"""doctor, `/readyz` and the log name a process that hangs, and `dashboard up` replaces it."""

import pytest
import requests

from tests.cli.commands import has_new_pid, run_doctor, verdicts
from tests.support.processes import until
from tests.support.stack import Stack, StackMaker

NAMED_SECONDS = 60
REPLACED_SECONDS = 120


def silent(stack: Stack) -> list[str]:
    try:
        return requests.get(f"{stack.url}/readyz", timeout=2).json().get("silent", [])
    except requests.RequestException:  # the stopped process took the connection
        return []


@pytest.mark.slow
def test_a_payment_worker_and_a_web_process_that_hang_are_named_and_replaced(make_stack: StackMaker) -> None:
    stack = make_stack(webs=2)
    hung = {part: stack.pid(part) for part in ("worker-payments", "web-2")}
    for part in hung:
        stack.freeze(part)

    until(lambda: set(silent(stack)) == set(hung), NAMED_SECONDS, "both are named", pause=0.2)
    found = verdicts(run_doctor(stack.environment))
    assert {name for name, verdict in found.items() if verdict != "ok"} == {"worker-payments", "web"}

    for part, pid in hung.items():
        stack.wait_for_log(f"{part} hangs: no sign of life", REPLACED_SECONDS)
        until(lambda part=part, pid=pid: has_new_pid(stack, part, pid), REPLACED_SECONDS, f"{part} is replaced")
    until(lambda: set(verdicts(run_doctor(stack.environment)).values()) == {"ok"}, REPLACED_SECONDS, "doctor passes")
    assert stack.log_lines("up ", "web-1 hangs") == []


@pytest.mark.slow
def test_only_an_embedded_redis_that_hangs_is_replaced(make_stack: StackMaker) -> None:
    stack = make_stack()
    pids = {part: stack.pid(part) for part in ("redis", "web-1")}
    stack.freeze("redis")

    stack.wait_for_log("redis hangs: no sign of life", REPLACED_SECONDS)
    until(lambda: has_new_pid(stack, "redis", pids["redis"]), REPLACED_SECONDS, "Redis is replaced")
    stack.wait_until_whole(REPLACED_SECONDS)

    assert stack.pid("web-1") == pids["web-1"]
    assert [line for line in stack.log_lines("hangs: no sign of life") if " redis hangs" not in line] == []
