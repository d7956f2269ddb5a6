"""A thousand rooms with a backlog: as cheap in Celery tasks as one, each drained in order and within its limit."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from app.realtime.events import EventType
from app.realtime.redis_keys import all_keys, partition_key, partition_of, room_key, room_keys
from app.realtime.scripts import source
from tests.factories import unique
from tests.support.processes import until
from tests.support.room_recorder import record_rooms
from tests.support.stack import Stack

ROOMS, WAITING, LIMIT = 1000, 30, 10
FEW = 10
ROOMS_AT_ONCE = 50
TASKS_PER_SECOND = 10
REALTIME_TASKS = ("tasks.drain", "tasks.flush")
REST_SECONDS = 4

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


class Look(NamedTuple):
    """The state of the rooms between `began` and `ended` on Redis's clock."""

    began: float
    ended: float
    tasks: float
    waiting: dict[str, int]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system of this file's own: its worker is stopped while rooms are filled."""
    with Stack(tmp_path_factory.mktemp("backlog")) as stack:
        yield stack


@pytest.fixture
def client(system: Stack) -> Iterator["redis.Redis[bytes]"]:
    with system.redis() as opened:
        yield opened


def fill(client: "redis.Redis[bytes]", rooms: list[str], count: int) -> None:
    """Emit `count` events into each room by the limiter's script, thousands in one round trip."""
    publish, kind = client.register_script(source("emit")), EventType.BOUNTY_POOL_UPDATED
    for first in range(0, len(rooms), ROOMS_AT_ONCE):
        with client.pipeline(transaction=False) as pipe:
            for room in rooms[first : first + ROOMS_AT_ONCE]:
                pipe.hsetnx(room_key(room, "state"), "seq", 0)
                keys = room_keys(room)
                for number in range(count):
                    publish(keys=keys, args=[room, "", "", "", kind, f'{{"version":"{number}"}}'], client=pipe)
            pipe.execute()


def rooms_due(client: "redis.Redis[bytes]") -> int:
    return sum(client.zcard(key) for key in all_keys("due"))


def set_due(client: "redis.Redis[bytes]", rooms: list[str], at: float) -> None:
    for room in rooms:
        client.zadd(partition_key(partition_of(room), "due"), {room: at}, xx=True)


def now(client: "redis.Redis[bytes]") -> float:
    seconds, micros = client.time()
    return seconds + micros / 1e6


def tasks_run(system: Stack) -> float:
    return sum(system.metric("dashboard_celery_tasks_total", task=name) for name in REALTIME_TASKS)


def look(system: Stack, client: "redis.Redis[bytes]", rooms: list[str]) -> Look:
    began, tasks = now(client), tasks_run(system)
    with client.pipeline(transaction=False) as pipe:
        for room in rooms:
            pipe.llen(room_key(room, "queue"))
        waiting = dict(zip(rooms, pipe.execute(), strict=True))
    return Look(began, now(client), tasks, waiting)


def watch_until_drained(system: Stack, client: "redis.Redis[bytes]", rooms: list[str]) -> list[Look]:
    """Look each second until nothing waits."""
    looks = [look(system, client, rooms)]
    while any(looks[-1].waiting.values()):
        until(lambda: now(client) > looks[-1].began + 1, 20, "a second passes")
        looks.append(look(system, client, rooms))
    return looks


def check_cost_and_limit(looks: list[Look]) -> None:
    """In every window of three seconds and more; a slow look makes its window longer, and so its limit higher."""
    for number, first in enumerate(looks):
        for last in looks[number + 3 :]:
            seconds = last.ended - first.began
            most_tasks = TASKS_PER_SECOND * seconds + len(REALTIME_TASKS)  # one more of each at an end
            assert last.tasks - first.tasks <= most_tasks, looks
            most = LIMIT * (seconds + 1)
            left = {room: first.waiting[room] - last.waiting[room] for room in first.waiting}
            assert max(left.values()) <= most, (seconds, left)


def cpu_seconds(system: Stack) -> float:
    """CPU seconds of the worker and its pool."""
    parent, total = system.pid("worker"), 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, _, fields = stat.read_text(encoding="utf-8").partition(" ")
        except OSError:
            continue  # it has just ended
        values = fields.rpartition(")")[2].split()
        if parent in (int(pid), int(values[1])):
            total += (int(values[11]) + int(values[12])) / 100
    return total


def test_a_thousand_backlogged_rooms_cost_ten_tasks_a_second_and_drain_in_order(system, client) -> None:
    rooms, count = [unique("R") for _ in range(ROOMS)], LIMIT + WAITING
    dropped = system.metric("dashboard_events_dropped_total")
    with record_rooms(client, rooms) as received:
        system.freeze("worker")
        fill(client, rooms, count)
        assert rooms_due(client) == ROOMS
        system.thaw("worker")

        looks = watch_until_drained(system, client, rooms)
        until(lambda: sum(map(len, received.values())) >= ROOMS * count, 30, "all events were received")

    check_cost_and_limit(looks)
    assert all(received[room] == list(range(1, count + 1)) for room in rooms)
    assert system.metric("dashboard_events_dropped_total") == dropped


def test_the_cost_of_a_backlog_does_not_grow_with_time(system, client) -> None:
    rooms = [unique("R") for _ in range(FEW)]
    with record_rooms(client, rooms) as received:
        fill(client, rooms, LIMIT + 100)
        looks = watch_until_drained(system, client, rooms)
        until(lambda: sum(map(len, received.values())) >= FEW * (LIMIT + 100), 30, "all events were received")

    check_cost_and_limit(looks)
    assert all(received[room] == list(range(1, LIMIT + 101)) for room in rooms)


def test_while_no_room_is_due_the_worker_is_idle(system, client, sleeping) -> None:
    rooms = [unique("R") for _ in range(ROOMS)]

    def used() -> tuple[float, float]:
        began, cpu, tasks = now(client), cpu_seconds(system), tasks_run(system)
        sleeping(REST_SECONDS)
        passed = now(client) - began
        return (cpu_seconds(system) - cpu) / passed, (tasks_run(system) - tasks) / passed

    system.freeze("worker")
    fill(client, rooms, LIMIT + 1)
    later = now(client) + 600
    set_due(client, rooms, later * 1e6)
    system.thaw("worker")
    until(lambda: client.get("drain:at") is None, 10, "the earlier scheduled drain has ended")
    waiting_cpu, waiting_tasks = used()

    assert rooms_due(client) == ROOMS
    set_due(client, rooms, now(client) * 1e6)
    until(lambda: rooms_due(client) == 0, 60, "all rooms drain in the end")
    idle_cpu, idle_tasks = used()
    assert waiting_tasks <= idle_tasks + 1
    assert waiting_cpu <= 3 * idle_cpu + 0.05
