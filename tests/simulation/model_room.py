"""What a room of the model holds, and the rules of its limit, in plain Python. Times are microseconds.

The names are those of the keys and scripts (app/realtime/redis_keys.py, app/realtime/lua).
"""

import re
from dataclasses import dataclass, field, replace
from typing import Any

LIMIT, WINDOW, PACING, CAPACITY = 10, 1_075_000, 107_500, 100
AGENT_INTERVAL, OFFLINE_AFTER, MOST_IDENTITIES = 1_010_000, 120_000_000, 500
TOLERANCE, MAX_PAUSE, MAX_UNSTORED, STORE_AFTER = 300_000, 1_500_000, 500_000, 10_000
UPDATE, UPDATES = "agent:task_update", "agent:task_updates"
_VERSION = re.compile(r'"version":"(\d+)"}$')
_ESTIMATE = re.compile(r'"estimatedCompletion":"[^"]*"')

Queued = tuple[int, int | None, str | None, str, int, str]
"""Sequence number, that of the batched view, agent, event type, milliseconds, data."""


def version_of(data: str) -> int:
    found = _VERSION.search(data)
    assert found, data
    return int(found[1])


def with_version(data: str, version: int) -> str:
    return _VERSION.sub(f'"version":"{version}"}}', data)


def idle(data: str, version: int) -> str:
    """The update of an agent that went to another room without closing its task."""
    data = data.replace('"status":"RUNNING"', '"status":"IDLE"', 1)
    return with_version(_ESTIMATE.sub('"estimatedCompletion":null', data, count=1), version)


def first_of(scores: dict[str, int], up_to: float, most: int | None = None) -> list[str]:
    """The members of a sorted set with scores up to this one, the lowest first."""
    if not scores:
        return []
    return sorted((name for name, at in scores.items() if at <= up_to), key=lambda name: (scores[name], name))[:most]


@dataclass(slots=True)
class Agent:
    """What a room knows of an agent."""

    version: int = 0
    task_version: int = 0
    next_allowed: int = 0
    pending: int = 0
    epoch: int = 0
    is_here: bool = False
    task: str = ""


@dataclass(slots=True)
class Room:
    id: str
    seq: int | None = None
    batch_seq: int | None = None
    pacing: int | None = None
    batch_at: int | None = None
    outbox: int | None = None
    dropped: int = 0
    changes: int = 0
    relayed: list[str] = field(default_factory=list)
    window: list[int] = field(default_factory=list)
    queue: list[Queued] = field(default_factory=list)
    agents: dict[str, Agent] = field(default_factory=dict)
    latest: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    terminal: dict[str, int] = field(default_factory=dict)
    updates: dict[str, list[str]] = field(default_factory=dict)
    last_seen: dict[str, int] = field(default_factory=dict)
    busy: dict[str, int] = field(default_factory=dict)
    batch_waiting: dict[str, int] = field(default_factory=dict)
    disconnected_until: int = 0

    def shown(self) -> tuple[Any, ...]:
        """What a state shows of the agents; `changes` rises with it."""
        agents = {name: (agent.version, agent.is_here) for name, agent in self.agents.items()}
        return agents, self.latest.copy(), self.last_seen.copy()

    def ready_at(self, born: int) -> int:
        oldest = self.window[LIMIT - 1] if len(self.window) >= LIMIT else 0
        return max(oldest and oldest + WINDOW, born + WINDOW)

    def budget(self, now: int, born: int) -> int:
        if now < born + WINDOW:
            return 0
        return LIMIT - sum(at + WINDOW > now for at in self.window)

    def paced_budget(self, now: int, born: int) -> int:
        free = self.budget(now, born)
        return free if self.pacing is None else min(free, max(0, min(3, 1 + (now - self.pacing) // PACING)))

    def spend(self, count: int, now: int) -> None:
        self.window = ([now] * count + self.window)[:LIMIT]
        if self.pacing is not None:
            self.pacing = max(self.pacing, now - 2 * PACING) + count * PACING

    def agent(self, name: str, born: int) -> Agent:
        """A record of the agent with what its memory cannot know; `agents` is unchanged until it is saved."""
        agent = self.agents.get(name) or Agent()
        least = born + AGENT_INTERVAL
        return agent if agent.next_allowed >= least else replace(agent, next_allowed=least)


@dataclass(slots=True)
class Partition:
    """The rooms of one partition, its clock, and what is counted over its rooms."""

    last: int | None = None
    offset: int = 0
    born: int = 0
    server: str = "-"
    rooms: dict[str, Room] = field(default_factory=dict)
    due: dict[str, int] = field(default_factory=dict)
    active: dict[str, int] = field(default_factory=dict)
    last_seen: dict[str, int] = field(default_factory=dict)
    busy: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    locations: dict[str, dict[str, Any]] = field(default_factory=dict)

    def room(self, id_: str) -> Room:
        return self.rooms.get(id_) or self.rooms.setdefault(id_, Room(id_))

    def advance(self, wall: int, expected: int | None, *, is_emitting: bool) -> int:
        """The steady time of an operation. It is stored if it differs from the stored clock or is far ahead of it."""
        if self.last is None:
            self.last, self.offset, self.born, self.server = wall, 0, wall, "-"
            return wall
        time = wall + self.offset
        latest = self.last + MAX_PAUSE if expected is None else expected + TOLERANCE
        if time > latest:
            time = self.last if expected is None else expected
        time = max(time, self.last)
        if time != wall + self.offset or time - self.last > (STORE_AFTER if is_emitting else MAX_UNSTORED):
            self.last, self.offset = time, time - wall
        return time

    def is_due(self, id_: str, at: int) -> None:
        self.due[id_] = min(at, self.due.get(id_, at))
