"""Redis servers, processes and true time of a simulation; every script call is compared with the model.

`World.time` is the true time in microseconds. A server's clock differs from it by an offset that steps change. A
process measures with a monotonic clock, which is the true time.
"""

import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import pytest
import redis

from app.core.redis_nodes import RedisNodes
from app.realtime import redis_keys, scripts
from app.realtime.scripts import Call, RoomScripts, SteadyTimes
from tests.simulation.lua_server import LuaServer
from tests.simulation.model import EMITTING, WITHOUT_CLOCK, Model, calls_of
from tests.simulation.model_room import Partition

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
    reply: Any
    published: list[list[str]]


@dataclass(eq=False)
class Server:
    """A Redis server, and the model's copy of its memory."""

    redis: LuaServer
    number: int
    offset: int = 0
    generation: int = 0
    is_down: bool = False
    parts: dict[int, Partition] = field(default_factory=dict)  # by slot

    def part(self, slot: int) -> Partition:
        if slot not in self.parts:
            self.parts[slot] = Partition()
        return self.parts[slot]

    def saved(self) -> tuple[Any, bytes]:
        return self.redis.saved(), pickle.dumps(self.parts)

    def restart(self) -> None:
        self.generation += 1
        self.redis.restart(f"server{self.number}x{self.generation}")

    def restore(self, memory: tuple[Any, bytes] | None) -> None:
        """Go back to what was `saved`; to an empty memory if it is None."""
        self.redis.restore(memory and memory[0])
        self.parts = pickle.loads(memory[1]) if memory else {}  # noqa: S301 - own data


class SimulatedNodes:
    """Stands in for `RedisNodes` in one process: the same calls, repeated in the same way when a connection breaks."""

    def __init__(self, world: "World", times: SteadyTimes) -> None:
        self._world, self._times = world, times
        self.is_cluster = len(world.servers) > 1
        self._connected: dict[int, int] = {}  # generation by server
        self._checked = -1  # number of the last change of a server for which all connections are open

    def call(self, slot: int, *command: Any) -> Any:
        (reply,) = self.execute([(slot, command)])
        if isinstance(reply, redis.RedisError):
            raise reply
        return reply

    def execute(self, calls: Sequence[tuple[int, tuple[Any, ...]]]) -> list[Any]:
        fault = self._world.next_fault()
        self._world.time += LATENCY
        if fault == "refuse":
            raise redis.ConnectionError("refused")
        if fault == "kill":
            raise Killed
        if fault == "kill_between":
            self._send(calls[: len(calls) // 2])
            raise Killed
        replies = self._send(calls)
        if fault == "kill_after":
            raise Killed
        if fault == "lose_reply":
            replies = self._send(calls)
        failed = [index for index, reply in enumerate(replies) if isinstance(reply, redis.ConnectionError)]
        if failed:
            for index, reply in zip(failed, self._send([calls[each] for each in failed]), strict=True):
                replies[index] = reply
            if all(isinstance(reply, redis.ConnectionError) for reply in replies):
                raise replies[0]
        self._world.time += LATENCY + self._world.delay
        return replies

    def _send(self, calls: Sequence[tuple[int, tuple[Any, ...]]]) -> list[Any]:
        world = self._world
        if self._checked == world.changes:
            return [world.execute(world.server_of(slot), command) for slot, command in calls]
        closed = self._closed({world.server_of(slot) for slot, _ in calls})
        replies: list[Any] = []
        for slot, command in calls:
            server = world.server_of(slot)
            is_closed = server in closed
            replies.append(redis.ConnectionError("closed") if is_closed else world.execute(server, command))
        return replies

    def _closed(self, servers: set[Server]) -> set[Server]:
        """Those of the servers whose connection is closed. Connects to the others."""
        changes = self._world.changes
        closed = {each for each in servers if not self._connect(each)}
        if all(self._is_open(each) for each in self._world.servers):
            self._checked = changes
        return closed

    def _is_open(self, server: Server) -> bool:
        return not server.is_down and self._connected.get(server.number) == server.generation

    def _connect(self, server: Server) -> bool:
        """False if the server is down or has closed the connection by a restart."""
        if self._is_open(server):
            return True
        before = self._connected.pop(server.number, None)
        if server.is_down or before is not None:
            return False
        self._connected[server.number] = server.generation
        slots = [each for each in self._world.slots if self._world.server_of(each) is server]
        scripts.prepare(lambda *words: self._world.execute(server, words), slots, self._times)
        return True


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
        self.time, self.delay = START, 0
        self.servers = [Server(make_server(), number) for number in range(servers)]
        for each in self.servers:
            each.restart()
        if servers == 1:
            self.servers[0].redis.leave_cluster()
        self.slots = redis_keys.PARTITION_SLOTS[:PARTITIONS]
        self._servers = {slot: self.servers[index % servers] for index, slot in enumerate(self.slots)}
        self.model = Model()
        self.observe: Callable[[Observation], None]  # set by whoever runs the world
        self.pause: Callable[[], None]
        self.fault: Fault | None = None
        self.changes = 0  # of servers: they stopped, started or restarted
        self._requests = 0
        self._operations = {scripts._sha(name): name for name in scripts._OF_ROOMS}

    def new_process(self) -> RoomScripts:
        times = SteadyTimes()
        return RoomScripts(cast(RedisNodes, SimulatedNodes(self, times)), times)

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

    def execute(self, server: Server, command: tuple[Any, ...]) -> Any:
        reply = server.redis.execute(self.wall(server), command)
        if command[0] != "EVALSHA" or isinstance(reply.value, redis.exceptions.NoScriptError):
            return reply.value
        operation, key_count = self._operations[command[1]], command[2]
        keys, arguments = command[3 : 3 + key_count], command[3 + key_count :]
        if isinstance(reply.value, redis.RedisError):
            raise Mismatch(f"{operation} {_shown(arguments)}: {reply.value}")
        texts = reply.text if operation == "report" else [reply.text]
        for (those, args), text in zip(calls_of(operation, keys, arguments), texts, strict=True):
            self._compare(server, Call(operation, those, args), text, reply.published)
        return reply.value

    def _compare(self, server: Server, call: Call, text: Any, published: list[list[str]]) -> None:
        """Compare a reply with that of the model. Raises Mismatch."""
        (operation, keys, args), model = call, self.model
        part = server.part(redis_keys.slot_of_key(keys[0]))
        wanted = model.run(operation, part, keys, self.wall(server), args)
        if text != wanted and operation in EMITTING:
            text[2].sort()  # counts by event type, in any order
        if text != wanted or published != model.published:
            raise Mismatch(
                f"{operation} {_shown(args)}: the reply is {text}, in the model {wanted}; "
                f"published are {published}, in the model {model.published}"
            )
        if operation not in WITHOUT_CLOCK:
            tag = keys[0].partition("}")[0]
            self.observe(Observation(operation, tag, args[0], self.time, model.now, text, published))


def _shown(arguments: tuple[Any, ...]) -> str:
    return json.dumps(arguments, default=repr)[:400]
