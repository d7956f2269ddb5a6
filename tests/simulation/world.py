"""Redis servers, processes and true time of a simulation; every script call is compared with the model.

`World.time` is the true time in microseconds. A server's clock differs from it by an offset that steps change. A
process measures with a monotonic clock, which is the true time.
"""

import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
import redis

from app.realtime import redis_keys, scripts
from tests.simulation.lua_server import LuaServer
from tests.simulation.model import EMITTING, WITHOUT_CLOCK, Model
from tests.simulation.model_room import TOLERANCE, Partition

PARTITIONS = 3  # in place of 64, which a drain asks one by one
START = 1_780_000_000_000_000
LATENCY = 150


class Killed(BaseException):
    """The process of the operation was killed."""


class Mismatch(AssertionError):
    """The scripts and the model differ, or a rule is broken."""


@dataclass
class Fault:
    """What happens to the `at`-th request of an operation, counted from 0."""

    kind: str  # pause, kill, kill_after, kill_between, lose_reply, refuse
    at: int


class Observation(NamedTuple):
    """One script call that was executed. Times are microseconds."""

    operation: str
    partition: str
    room: str
    true_time: int
    steady: int
    is_new: bool  # the memory began with this call: what it does not know counts as used now
    is_measured: bool  # the caller knew how much time had passed
    small_steps: int  # sum of the forward steps of the server's clock that no caller can tell from a late call
    reply: Any
    published: list[list[str]]


@dataclass(eq=False)
class Server:
    """A Redis server, and the model's copy of its memory."""

    redis: LuaServer
    number: int
    offset: int = 0
    small_steps: int = 0
    generation: int = 0
    is_down: bool = False
    has_scripts: bool = False
    parts: dict[int, Partition] = field(default_factory=dict)  # by slot

    def part(self, slot: int) -> Partition:
        if slot not in self.parts:
            self.parts[slot] = Partition()
        return self.parts[slot]

    def step_clock(self, by: int) -> None:
        self.offset += by
        if 0 < by <= TOLERANCE:
            self.small_steps += by

    def saved(self) -> tuple[Any, bytes]:
        return self.redis.saved(), pickle.dumps(self.parts)

    def restart(self) -> None:
        self.generation += 1
        self.has_scripts = False
        self.redis.restart(f"server{self.number}x{self.generation}")

    def restore(self, memory: tuple[Any, bytes] | None) -> None:
        """Go back to what was `saved`; to an empty memory if it is None."""
        self.redis.restore(memory and memory[0])
        self.parts = pickle.loads(memory[1]) if memory else {}  # noqa: S301 - own data


@contextmanager
def fewer_partitions() -> Iterator[None]:
    """Leaves nothing behind that was computed with these partitions: other tests run later in the same process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis_keys, "PARTITIONS", PARTITIONS)
        _forget_keys()
        yield
    _forget_keys()


def _forget_keys() -> None:
    for cached in (redis_keys.room_keys, redis_keys.report_keys, redis_keys.all_keys):
        cached.cache_clear()


class World:
    def __init__(self, servers: int, make_server: Callable[[], LuaServer] = LuaServer) -> None:
        self.time, self.delay_before, self.delay = START, 0, 0
        self.servers = [Server(make_server(), number) for number in range(servers)]
        for each in self.servers:
            each.restart()
        self.slots = redis_keys.PARTITION_SLOTS[:PARTITIONS]
        self._servers = {slot: self.servers[index % servers] for index, slot in enumerate(self.slots)}
        self.model = Model()
        self.observe: Callable[[Observation], None]  # set by whoever runs the world
        self.pause: Callable[[], None]
        self.fault: Fault | None = None
        self.changes = 0  # of servers: they stopped, started or restarted
        self._requests = 0
        self._operations = {scripts._sha(name): name for name in scripts._OF_ROOMS}

    def server_of(self, slot: int) -> Server:
        return self._servers[slot]

    def wall(self, server: Server) -> int:
        return self.time + server.offset

    def begin(self, fault: Fault | None) -> None:
        """Begin an operation, to which this will happen."""
        self.fault, self._requests = fault, 0

    def next_fault(self) -> str:
        """What happens to this request."""
        fault = self.fault
        if fault is None:
            return ""
        if self._requests < fault.at:
            self._requests += 1
            return ""
        self.fault = None
        if fault.kind == "pause":
            self.pause()
            return ""
        return fault.kind

    def listen(self, channel: str, slot: int, count: int) -> None:
        self.server_of(slot).redis.listen(channel, count)
        self.model.listeners[channel] = count

    def execute(self, server: Server, slot: int, command: tuple[Any, ...], unmeasured: set[str]) -> Any:
        """`unmeasured` are the clocks of which the caller has not measured how much time has passed."""
        wall = self.time + server.offset
        reply = server.redis.execute(wall, command)
        if command[0] != "EVALSHA" or isinstance(reply.value, redis.exceptions.NoScriptError):
            return reply.value
        operation, key_count = self._operations[command[1]], command[2]
        keys, arguments = command[3 : 3 + key_count], command[3 + key_count :]
        if isinstance(reply.value, redis.RedisError):
            raise Mismatch(f"{operation} {_shown(arguments)}: {reply.value}")
        wanted = self.model.run(operation, server.part(slot), keys, wall, arguments)
        text = reply.text
        if text != wanted and operation in EMITTING:
            text[2].sort()  # counts by event type, in any order
        if text != wanted or reply.published != self.model.published:
            raise Mismatch(
                f"{operation} {_shown(arguments)}: the reply is {text}, in the model {wanted}; "
                f"published are {reply.published}, in the model {self.model.published}"
            )
        if operation not in WITHOUT_CLOCK:
            partition = keys[0].partition("}")[0]
            about = (operation, partition, arguments[0])
            now = self.model.now
            is_measured = arguments[1] != "" and f"{partition}}}:clock" not in unmeasured
            is_measured &= arguments[1] == "" or int(arguments[1]) <= now  # it may expect a time that was taken back
            is_new = server.part(slot).born == now
            times = (self.time, now, is_new, is_measured, server.small_steps)
            self.observe(Observation(*about, *times, text, reply.published))
        return reply.value


def _shown(arguments: tuple[Any, ...]) -> str:
    return json.dumps(arguments, default=repr)[:400]
