"""What must hold whatever the scripts and the model do, judged by what was published and by true time.

Contract, delivery rules 1 to 4. Times are microseconds of true time.
"""

import re
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from app.realtime.redis_keys import view_of
from tests.simulation.model_room import LIMIT, UPDATE, UPDATES
from tests.simulation.world import Mismatch, Observation

SECOND = 1_000_000
_AGENT = re.compile(r'^{"agentId":"([^"]*)".*"status":"([A-Z]*)".*"version":"(\d+)"}$')
_IDENTITY = re.compile(r'"n":"([^"]*)"')


def require(condition: bool, problem: str, *about: Any) -> None:
    if not condition:
        raise Mismatch(problem + ": " + ", ".join(map(str, about)))


@dataclass(slots=True)
class _View:
    """A room, or its batched view, as a client sees it."""

    seq: int | None = None
    dropped: set[int] = field(default_factory=set)
    skipped: int = 0  # numbers that may be missing: of dropped events in the batched view, and after a rewind
    times: deque[int] = field(default_factory=lambda: deque(maxlen=LIMIT + 1))
    batch_at: int = -SECOND

    def forget_numbers(self) -> None:
        self.seq, self.skipped = None, 0
        self.dropped.clear()


@dataclass(slots=True)
class _Clock:
    """A partition's steady clock: its last reading, and when it ran ahead of true time, and how far."""

    steady: int = 0
    true_time: int = 0
    ahead: deque[tuple[int, int]] = field(default_factory=deque)

    def read(self, steady: int, true_time: int) -> None:
        if self.true_time:
            ahead = (steady - self.steady) - (true_time - self.true_time)
            if ahead > 0:
                self.ahead.append((true_time, ahead))
                if len(self.ahead) > LIMIT:
                    self.ahead.popleft()
        self.steady, self.true_time = steady, true_time

    def ahead_since(self, at: int) -> int:
        return sum(ahead for when, ahead in self.ahead if when > at) if self.ahead else 0


class Invariants:
    def __init__(self) -> None:
        self.views: defaultdict[str, _View] = defaultdict(_View)
        self.clocks: defaultdict[str, _Clock] = defaultdict(_Clock)
        self.agents: dict[tuple[str, str], tuple[int, int]] = {}  # by room and agent: last time and version
        self.newest: dict[tuple[str, str], str] = {}  # by room and agent: what was published last
        self.told: set[str] = set()  # identities of what was published or reported as dropped
        self.published = self.lost = 0

    def read_clock(self, seen: Observation) -> _Clock:
        clock = self.clocks[seen.partition]
        clock.read(seen.steady, seen.true_time)
        return clock

    def observe(self, seen: Observation, channel: str, dropped: list[str]) -> None:
        """`channel` is that of the first room; `dropped` the data of the events that were dropped."""
        clock = self.read_clock(seen)
        if seen.operation in ("emit", "drain", "rewind", "leave") and len(seen.reply) > 2:
            for line in seen.reply[4]:
                room, seq, _ = line.split(" ")
                self._drop(channel.removesuffix(seen.room) + room, room, int(seq))
            for data in dropped:
                self._tell(data)
            dropped.clear()
        if seen.operation == "forget_room" and seen.reply[1]:
            for view in self._both(channel, seen.room):
                view.forget_numbers()
        if seen.operation == "rewind":
            for view in self._both(channel, seen.room):
                view.skipped += 1
        for published_on, message in seen.published:
            self._publish(published_on, message, seen, clock)

    def _both(self, channel: str, room: str) -> tuple[_View, _View]:
        return self.views[channel], self.views[channel.removesuffix(room) + "~" + room]

    def _drop(self, channel: str, room: str, seq: int) -> None:
        view, batched = self._both(channel, room)
        view.dropped.add(seq)
        batched.skipped += 1
        self.lost += 1

    def _publish(self, channel: str, message: str, seen: Observation, clock: _Clock) -> None:
        event, number, _, data = message.split(" ", 3)
        room = view_of(channel)
        view, seq = self.views[channel], int(number)
        self.published += 1
        self._check_order(view, seq, message)
        view.times.append(seen.true_time)
        if len(view.times) > LIMIT:
            took = seen.true_time - view.times[0]
            allowed = SECOND - clock.ahead_since(view.times[0])
            require(took >= allowed, f"{LIMIT + 1} events of {channel!r} in {took} µs")
        if event == UPDATES:
            gap = seen.true_time - view.batch_at
            require(gap >= SECOND - clock.ahead_since(view.batch_at), f"two batches in {gap} µs")
            view.batch_at = seen.true_time
        elif not room.startswith("~"):
            self._tell(data)
            if event == UPDATE:
                self._check_agent(room, data, seen.true_time, clock)

    def _tell(self, data: str) -> None:
        self.told.add(_IDENTITY.search(data)[1])  # type: ignore[index]

    def _check_order(self, view: _View, seq: int, message: str) -> None:
        if view.seq is not None:
            require(seq > view.seq, f"number {seq} after {view.seq}", message)
            missing = [each for each in range(view.seq + 1, min(seq, view.seq + 500)) if each not in view.dropped]
            require(len(missing) <= view.skipped, f"missing numbers {missing[:5]} before {seq}", message)
            view.skipped -= len(missing)
            view.dropped = {each for each in view.dropped if each > seq}
        view.seq = seq

    def _check_agent(self, room: str, data: str, at: int, clock: _Clock) -> None:
        found = _AGENT.match(data)
        require(found is not None, "no agent", data)
        agent, status, version = found[1], found[2], int(found[3])  # type: ignore[index]
        last, newest = self.agents.get((room, agent), (-SECOND, 0))
        gap = at - last
        require(gap >= SECOND - clock.ahead_since(last), f"two updates of {agent!r} in {gap} µs", data)
        is_terminal = status in ("COMPLETED", "FAILED")
        require(is_terminal or version > newest, f"version {version} after {newest}", data)
        self.agents[room, agent] = at, max(version, newest)
        if version > newest:
            self.newest[room, agent] = data

    def forget_numbers(self, prefixes: set[str]) -> None:
        """Redis lost the memory of these partitions: their rooms may be numbered anew; the limits go on."""
        for channel, view in self.views.items():
            if channel.partition("}")[0] in prefixes:
                view.forget_numbers()
        for room, agent in list(self.agents):
            self.agents[room, agent] = self.agents[room, agent][0], 0
        self.newest.clear()
