"""Each process announces how far its clock is from Redis's."""

import time

import pytest

from app.core import redis_connection
from app.core.extensions import redis_clock
from app.observability import process_registry

pytestmark = pytest.mark.database("sqlite")


@pytest.mark.parametrize("seconds", [30, -30])
def test_a_process_without_requests_announces_a_step_of_redis_clock(in_context, monkeypatch, seconds: int):
    process_registry.announce("web", ("web",))
    monkeypatch.setattr(redis_connection, "redis_time", lambda _: time.time() + seconds)
    redis_clock()._ask_at = time.monotonic()  # five seconds later
    process_registry.announce("web", ("web",))

    assert [round(each.clock_ahead) for each in process_registry.known()] == [-seconds]
