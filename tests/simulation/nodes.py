"""Processes of a simulation, and their connections to its servers."""

from collections.abc import Sequence
from typing import Any, cast

import redis

from app.core.redis_nodes import RedisNodes
from app.realtime import redis_keys, scripts
from app.realtime.scripts import RoomScripts, SteadyTimes
from tests.simulation.world import LATENCY, Killed, Server, World

ASKED_OF_CLOCKS = ("GET", "TIME", "EVALSHA")  # by a process that connects


class Times(SteadyTimes):
    """Notes the `unmeasured` clocks: they may have stepped before the process read them, when it connected."""

    def __init__(self) -> None:
        super().__init__()
        self.is_connecting, self.unmeasured = False, set[str]()

    def learn(self, clock: str, steady_us: int, asked_at: float, now: float) -> None:
        before, expected = self._known.get(clock), self.expected(clock, now)
        super().learn(clock, steady_us, asked_at, now)
        if self.is_connecting and not expected:
            self.unmeasured.add(clock)
        elif self._known.get(clock) is not before:
            self.unmeasured.discard(clock)


class SimulatedNodes:
    """Stands in for `RedisNodes` in one process: the same calls, repeated in the same way when a connection breaks."""

    def __init__(self, world: World, times: Times, *, learns_times: bool) -> None:
        self._world, self._times, self._learns_times = world, times, learns_times
        self._connected: dict[int, int] = {}  # generation by server
        self._checked = -1  # number of the last change of a server for which all connections are open

    def call(self, slot: int, *command: Any) -> Any:
        (reply,) = self.execute([(slot, command)])
        if isinstance(reply, redis.RedisError):
            raise reply
        return reply

    def execute(self, calls: Sequence[tuple[int, tuple[Any, ...]]]) -> list[Any]:
        fault = self._world.next_fault()
        self._world.time += LATENCY + self._world.delay_before
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
            return [self._execute(world.server_of(slot), slot, command) for slot, command in calls]
        closed = self._closed({world.server_of(slot) for slot, _ in calls})
        replies: list[Any] = []
        for slot, command in calls:
            server = world.server_of(slot)
            is_closed = server in closed
            replies.append(redis.ConnectionError("closed") if is_closed else self._execute(server, slot, command))
        return replies

    def _closed(self, servers: set[Server]) -> set[Server]:
        """Those of the servers whose connection is closed. Connects to the others."""
        changes = -1
        while changes != self._world.changes:  # again if one changed meanwhile
            changes = self._world.changes
            closed = {each for each in servers if not self._connect(each)}
        if all(self._is_open(each) for each in self._world.servers):
            self._checked = changes
        return closed

    def _is_open(self, server: Server) -> bool:
        return not server.is_down and self._connected.get(server.number) == server.generation

    def _connect(self, server: Server) -> bool:
        """False if the server is down, has closed the connection by a restart, or does so meanwhile."""
        if self._is_open(server):
            return True
        before = self._connected.pop(server.number, None)
        if server.is_down or before is not None:
            return False
        generation, slots = (
            server.generation,
            [each for each in self._world.slots if self._world.server_of(each) is server],
        )
        times = self._times if self._learns_times else None
        self._times.is_connecting = True
        try:
            scripts.prepare(lambda *words: self._prepare(server, generation, words), slots, times)
        except redis.ConnectionError:
            return False
        finally:
            self._times.is_connecting = False
        server.has_scripts = True
        self._connected[server.number] = generation
        return True

    def _prepare(self, server: Server, generation: int, words: tuple[Any, ...]) -> Any:
        if words[0] == "SCRIPT" and server.has_scripts:
            return b""
        world, slot = self._world, redis_keys.slot_of_key(words[3]) if words[0] == "EVALSHA" else 0
        fault = world.next_fault() if words[0] in ASKED_OF_CLOCKS else ""
        world.time += LATENCY
        if server.is_down or server.generation != generation or fault == "refuse":
            raise redis.ConnectionError("closed")
        if fault in ("kill", "kill_between"):
            raise Killed
        reply = self._execute(server, slot, words)
        if fault == "kill_after":
            raise Killed
        if fault == "lose_reply":
            raise redis.ConnectionError("closed")
        return reply

    def _execute(self, server: Server, slot: int, command: tuple[Any, ...]) -> Any:
        return self._world.execute(server, slot, command, self._times.unmeasured)


def new_process(world: World, *, learns_times: bool = True) -> RoomScripts:
    """A process that learns the clocks' times when it connects, or only from its first calls."""
    times = Times()
    return RoomScripts(cast(RedisNodes, SimulatedNodes(world, times, learns_times=learns_times)), times)
