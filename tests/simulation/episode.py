"""One run of random steps on a small world, which settles at its end and must then have told everything."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from greenlet import getcurrent, greenlet

from app.realtime import limiter, redis_keys, scripts
from tests.simulation.actions import Actions
from tests.simulation.database import Database
from tests.simulation.invariants import Invariants, require
from tests.simulation.lua_server import LuaServer
from tests.simulation.memory import compare
from tests.simulation.model_room import AGENT_INTERVAL, PACING
from tests.simulation.steps import Dice, Shape, Step
from tests.simulation.surroundings import SECOND, Surroundings
from tests.simulation.world import LATENCY, START, Fault, Killed, Observation, World, fewer_partitions

FAULTS = ("pause", "pause", "pause", "kill", "kill_after", "kill_between", "lose_reply", "refuse")
FAULT_SHARE, DELAY_SHARE, DELAY, MAX_PAUSED, PROCESSES, CHECK_EVERY = 16, 32, 80_000, 3, 2, 256
NOT_OF_A_ROOM = ("locate", "due_rooms", "mark_server")
RELAYS_AT_THE_END = 20


class Monotonic:
    """`time` of the application's modules."""

    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic(self) -> float:
        return (self._world.time - START) / 1e6


class Episode(Actions, Surroundings):
    def __init__(self, shape: Shape, make_server: Callable[[], LuaServer] = LuaServer) -> None:
        self.shape = shape
        self.rooms = [f"P{number}" for number in range(shape.rooms)]
        self.agents = [f"A{number}" for number in range(shape.agents)]
        self.channels = {room: redis_keys.channel_of(room) for room in self.rooms}
        self.homes = dict.fromkeys(self.agents, self.rooms[0])
        self.world = World(shape.servers, make_server)
        self.world.observe, self.world.pause = self._observe, self._pause
        self.invariants, self.database = Invariants(), Database()
        self.processes = [self.world.new_process() for _ in range(PROCESSES)]
        self.process = self.processes[0]
        self.saved: dict[int, Any] = {}
        self.paused: list[greenlet] = []
        self.count = self.number = self.forgotten_until = 0
        self._main = getcurrent()

    # Running
    def run(self, steps: list[Step]) -> None:
        for step in steps:
            self.step(step)
        self.settle()

    def step(self, step: Step) -> None:
        dice = Dice(step.bits)
        self.process = self.processes[dice.below(PROCESSES)]
        self.world.delay = DELAY if dice.below(DELAY_SHARE) == 0 else 0
        fault = Fault(dice.of(FAULTS), dice.below(6)) if dice.below(FAULT_SHARE) == 0 else None
        action: Callable[[Dice], None] = getattr(self, f"_{step.kind}")
        self.world.begin(fault)
        if fault is not None and fault.kind == "pause" and len(self.paused) < MAX_PAUSED:
            greenlet(lambda: self._attempt(action, dice)).switch()
        else:
            if fault is not None and fault.kind == "pause":
                self.world.begin(None)
            self._attempt(action, dice)
        self.world.begin(None)
        self.number += 1
        if self.number % CHECK_EVERY == 0:
            self.check_memory()

    @property
    def done(self) -> int:
        """Operations of the application, and events of its surroundings."""
        return self.number + self.database.emitted

    def _attempt(self, action: Callable[[Dice], None], dice: Dice) -> None:
        try:
            action(dice)
        except (Killed, redis.ConnectionError):
            return  # what was stored is relayed later

    def _pause(self) -> None:
        process, current = self.process, getcurrent()
        self.paused.append(current)
        self._main.switch()
        self.process = process

    def _resume(self, dice: Dice) -> None:
        if self.paused and getcurrent() is self._main:
            self.paused.pop(dice.below(len(self.paused))).switch()

    def _observe(self, seen: Observation) -> None:
        if seen.operation in NOT_OF_A_ROOM:
            self.invariants.read_clock(seen)
        else:
            self.invariants.observe(seen, self.channels[seen.room], self.world.model.dropped)

    def recover(self) -> None:
        """Servers start again, what was interrupted goes on, and what is stored is relayed."""
        self.world.begin(None)
        for server in self.world.servers:
            server.is_down = False
        self.world.changes += 1
        while self.paused and getcurrent() is self._main:
            self.paused.pop(0).switch()
        for room in self.rooms:
            for _ in range(RELAYS_AT_THE_END):
                self._attempt(lambda _dice, room=room: self.database.relay(room), Dice(0))

    def settle(self) -> None:
        """Nothing new comes: what waits leaves in time, and all that was taken has been told."""
        self.recover()
        until = max(self.world.time, self.forgotten_until) + self._longest_wait()
        while delays := self._delays():
            self.world.time += max(0, min(delays))
            self._attempt(self._drain, Dice(0))
            self.number += 1
            require(self.world.time <= until, "updates starve", self._waiting())
        self.check_memory()
        require(not self._waiting(), "updates wait without a due time", self._waiting())
        missing = self.database.missing(self.invariants.told)
        require(not missing, "lost without a report", missing)

    def _waiting(self) -> dict[str, Any]:
        parts = [part for server in self.world.servers for part in server.parts.values()]
        rooms = [room for part in parts for room in part.rooms.values()]
        return {each.id: held for each in rooms if any(held := (each.queue, each.waiting, each.updates))}

    def _longest_wait(self) -> int:
        """Each event of a room takes its turn, and each of an agent in any room a second."""
        events, of_agents = 0, Counter[str]()
        for queue, waiting, updates in self._waiting().values():
            events += len(queue) + len(waiting) + sum(map(len, updates.values()))
            of_agents.update(each for _, _, each, *_ in queue if each)
            of_agents.update([*waiting, *(name for name, those in updates.items() for _ in those)])
        moves = len(self.rooms) * (AGENT_INTERVAL + SECOND)
        of_an_agent = max(of_agents.values(), default=0) * AGENT_INTERVAL
        return events * (PACING + 4 * LATENCY) + of_an_agent + moves + 5 * SECOND

    def check_memory(self) -> None:
        compare(self.world)


@contextmanager
def application() -> Iterator[Callable[[Episode], None]]:
    """Replaces the clock and the Redis servers of the application; call it with each episode."""
    logging.disable(logging.CRITICAL)
    with pytest.MonkeyPatch.context() as patch, fewer_partitions():

        def use(episode: Episode) -> None:
            patch.setattr(scripts, "time", Monotonic(episode.world))
            for module in (limiter,):
                patch.setattr(module, "room_scripts", lambda: episode.process)

        try:
            yield use
        finally:
            logging.disable(logging.NOTSET)
