"""`dashboard up` when a process runs but does no work."""

import signal
import time

import pytest
import requests

from tests.cli.commands import has_new_pid
from tests.support.machine_speed import patience, slowdown
from tests.support.processes import until
from tests.support.stack import Stack, StackMaker


@pytest.fixture(scope="module")
def stack(make_shared_stack: StackMaker) -> Stack:
    """One system for both tests; the second one ends it."""
    return make_shared_stack()


@pytest.mark.slow
def test_a_worker_without_signs_of_life_is_replaced_and_ticks_again(stack: Stack):
    stuck = stack.pid("worker")
    stack.freeze("worker")
    stack.wait_for_log("worker hangs: no sign of life", 90)
    until(lambda: has_new_pid(stack, "worker", stuck), 20, "a new worker runs")
    since = stack.redis().time()[0]
    until(lambda: float(stack.redis().get("beat:tick")) > since, 60, "it ticks")


@pytest.mark.slow
def test_a_redis_that_hangs_does_not_delay_a_stop(stack: Stack):
    stack.freeze("redis")
    until(lambda: requests.get(f"{stack.url}/readyz", timeout=patience(30)).status_code == 503, 60, "web misses Redis")
    started = time.monotonic()
    stack.process.send_signal(signal.SIGTERM)
    assert stack.process.wait(60 * slowdown()) == 0
    assert time.monotonic() - started < 10 * slowdown()
