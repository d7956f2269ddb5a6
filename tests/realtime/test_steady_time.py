"""What a process tells Redis about the time that has passed, and how long a scheduled drain waits."""

from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from app.core.extensions import redis_client
from app.realtime import emitter, limiter, outbox
from app.realtime.redis_keys import CLOCK_KEY, room_key
from tests.factories import make_protocol
from tests.support.api import Api

pytestmark = pytest.mark.database("sqlite")


class Script:
    """Stands in for the scripts: notes what it was told, and replies with the steady time after `takes` seconds."""

    def __init__(self) -> None:
        self.now, self.takes, self.steady_us = 1000.0, 0.0, 5_000_000
        self.told: list[str] = []

    def __call__(self, _operation: str, *args: Any) -> list[Any]:
        self.told.append(args[3])
        self.now += self.takes
        return [[], [], [], [], b"", str(self.steady_us).encode(), 0]

    def tell(self, after: float, takes: float = 0.0, steady_us: int = 5_000_000) -> str:
        """What the next call tells Redis."""
        self.now += after
        self.takes, self.steady_us = takes, steady_us
        limiter.drain()
        return self.told[-1]


@pytest.fixture
def script(in_context: Flask, monkeypatch: pytest.MonkeyPatch) -> Script:
    made = Script()
    in_context.extensions.pop("steady_time", None)
    monkeypatch.setattr(limiter, "scripts", SimpleNamespace(run=made))
    monkeypatch.setattr(limiter, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def test_a_process_tells_how_much_time_has_passed_since_its_last_reply(script: Script) -> None:
    assert script.tell(after=0) == ""
    assert script.tell(after=2, steady_us=9_000_000) == "7000000"
    assert script.tell(after=1.5) == "10500000"


@pytest.mark.parametrize(("after", "told"), [(120, "125000000"), (121, "")])
def test_a_time_that_was_read_more_than_two_minutes_ago_is_not_told(script: Script, after: float, told: str) -> None:
    script.tell(after=0)

    assert script.tell(after=after) == told


@pytest.mark.parametrize(
    ("after", "takes", "told"),
    [(10, 3 / 64, "8046875"), (10, 1 / 16, "16062500"), (29.875, 1 / 16, "35937500"), (30.5, 1 / 16, "8062500")],
)
def test_a_late_reply_gives_the_time_only_if_the_last_one_is_old(
    script: Script, after: float, takes: float, told: str
) -> None:
    script.tell(after=0)
    script.tell(after=after, takes=takes, steady_us=7_000_000)

    assert script.tell(after=1) == told


def test_the_steady_time_of_a_redis_that_never_stepped_is_its_wall_clock_to_the_microsecond(in_context: Flask) -> None:
    client = redis_client()
    client.delete(CLOCK_KEY)

    def wall() -> int:
        seconds, micros = client.time()
        return int(seconds) * 1_000_000 + int(micros)

    for _ in range(20):  # the fraction of the second differs
        assert wall() <= limiter.read_steady_time(client) <= wall()


@pytest.mark.parametrize(("planned", "seconds"), [(1_500_000, 0.5), (500_000, 0.0), (3_000_000, 2.0), (9_000_000, 2.0)])
def test_a_scheduled_drain_waits_until_its_time_and_at_most_two_seconds(
    in_context: Flask, monkeypatch: pytest.MonkeyPatch, planned: int, seconds: float
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(emitter, "time", SimpleNamespace(sleep=slept.append))
    monkeypatch.setattr(limiter, "read_steady_time", lambda _client: 1_000_000)

    emitter.run_scheduled_drain(planned)

    assert slept == [seconds]


def test_each_comparison_takes_the_next_protocols_and_begins_again_after_the_last(
    api: Api, in_context: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol_ids = [make_protocol(api) for _ in range(3)]
    monkeypatch.setattr(outbox, "PROTOCOLS_PER_COMPARISON", 2)
    for _ in range(2):
        for each in protocol_ids:
            redis_client().set(room_key(each, "outbox"), 5)

        assert [outbox.compare_positions(), outbox.compare_positions()] == [2, 1]
    assert outbox.compare_positions() == 0
