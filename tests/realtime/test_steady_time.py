"""What a process tells Redis about the time that has passed, and how long a scheduled drain waits."""

from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from app.core.extensions import redis_client
from app.realtime import emitter, limiter, outbox_positions, scripts
from app.realtime.outcome import Outcome
from app.realtime.redis_keys import DRAIN_KEY, room_key
from app.realtime.scripts import Call, RoomScripts
from tests.factories import make_protocol
from tests.support.api import Api

pytestmark = pytest.mark.database("sqlite")

CLOCK, OTHER_CLOCK = "d3:{19}:clock", "d3:{1}:clock"


class Server:
    """Stands in for Redis: notes what it was told, and replies with the steady time after `takes` seconds."""

    def __init__(self) -> None:
        self.now, self.takes, self.steady_us = 1000.0, 0.0, 5_000_000
        self.told: list[str] = []

    def call(self, _slot: int, *command: Any) -> list[Any]:
        self.told.append(command[6])
        self.now += self.takes
        return [str(self.steady_us).encode(), b""]


class Process:
    """A process that asks for the rooms that are due."""

    def __init__(self, server: Server) -> None:
        self.server, self.scripts = server, RoomScripts(server)

    def tell(self, after: float, takes: float = 0.0, steady_us: int = 5_000_000, clock: str = CLOCK) -> str:
        """What the next call tells Redis."""
        self.server.now += after
        self.server.takes, self.server.steady_us = takes, steady_us
        assert self.scripts.run(Call("due_rooms", (clock, clock.replace("clock", "due")), ("", 10))) == [b""]
        return self.server.told[-1]


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    server = Server()
    monkeypatch.setattr(scripts, "time", SimpleNamespace(monotonic=lambda: server.now))
    return Process(server)


def test_a_process_tells_how_much_time_has_passed_since_its_last_reply(process: Process) -> None:
    assert process.tell(after=0) == ""
    assert process.tell(after=2, steady_us=9_000_000) == "7000000"
    assert process.tell(after=1.5) == "10500000"


def test_each_partition_has_its_own_time(process: Process) -> None:
    process.tell(after=0)

    assert process.tell(after=1, clock=OTHER_CLOCK, steady_us=70_000_000) == ""
    assert process.tell(after=1) == "7000000"
    assert process.tell(after=1, clock=OTHER_CLOCK) == "72000000"


@pytest.mark.parametrize(("after", "told"), [(86400, "86405000000"), (86401, "")])
def test_a_time_that_was_read_more_than_a_day_ago_is_not_told(process: Process, after: float, told: str) -> None:
    process.tell(after=0)

    assert process.tell(after=after) == told


@pytest.mark.parametrize(
    ("after", "takes", "told"),
    [(10, 3 / 64, "8000000"), (10, 1 / 16, "16062500"), (29.875, 1 / 16, "35937500"), (30.5, 1 / 16, "8000000")],
)
def test_a_late_reply_gives_the_time_only_if_the_last_one_is_old(
    process: Process, after: float, takes: float, told: str
) -> None:
    process.tell(after=0)
    process.tell(after=after, takes=takes, steady_us=7_000_000)

    assert process.tell(after=1) == told


@pytest.mark.parametrize(("left_ms", "seconds"), [(2_500, 0.5), (1_500, 0.0), (4_000, 2.0), (9_000, 2.0)])
def test_a_scheduled_drain_waits_until_its_time_and_at_most_two_seconds(
    in_context: Flask, monkeypatch: pytest.MonkeyPatch, left_ms: int, seconds: float
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(emitter, "time", SimpleNamespace(sleep=slept.append))
    monkeypatch.setattr(limiter, "drain", Outcome)
    redis_client().set(DRAIN_KEY, "token", px=60_000)
    monkeypatch.setattr(redis_client(), "pttl", lambda _key: left_ms)

    emitter.run_scheduled_drain("token")

    assert slept == [seconds]
    assert not redis_client().exists(DRAIN_KEY)


def test_each_comparison_takes_the_next_protocols_and_begins_again_after_the_last(
    api: Api, in_context: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol_ids = [make_protocol(api) for _ in range(3)]
    monkeypatch.setattr(outbox_positions, "PROTOCOLS_PER_COMPARISON", 2)
    for _ in range(2):
        for each in protocol_ids:
            redis_client().hset(room_key(each, "state"), "outbox", 5)

        assert [outbox_positions.compare_positions(), outbox_positions.compare_positions()] == [2, 1]
    assert outbox_positions.compare_positions() == 0


def test_scripts_and_processes_agree_on_the_smallest_step_that_can_be_told() -> None:
    assert f"local TOLERANCE = {scripts.TOLERANCE_US} " in scripts.source("drain")
