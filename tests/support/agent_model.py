"""The part of the reference model (room_model.py) that emits nothing: rooms, agents' reports and the clocks."""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

LIMIT, WINDOW, PACING = 10, 1_025_000, 102_500
TOLERANCE, MAX_PAUSE, LAG, OFFLINE_AFTER = 300_000, 1_500_000, 5_000_000, 120_000_000
MOST_IDENTITIES = 500


def version_of(data: str) -> int:
    return int(re.search(r'"version":"(\d+)"}$', data)[1])


def first_of(scores: dict[str, float], up_to: float, most: int | None = None) -> list[str]:
    """The members of a sorted set with scores up to this one, the lowest first."""
    return sorted((name for name in scores if scores[name] <= up_to), key=lambda name: (scores[name], name))[:most]


def strings(numbers: dict[str, int]) -> dict[str, str]:
    return {name: str(number) for name, number in numbers.items()}


@dataclass
class Room:
    """`queue` holds (seq, batch_seq, agent, event, timestamp, data); the other members are named as the keys."""

    id: str
    seq: int | None = None
    batch_seq: int | None = None
    outbox: int | None = None
    pacing: int | None = None
    batch_at: int = 0
    is_disconnected: bool = False
    relayed: list[str] = field(default_factory=list)
    window: list[int] = field(default_factory=list)
    queue: list[tuple[int, int | None, str | None, str, str, str]] = field(default_factory=list)
    latest: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, float] = field(default_factory=dict)
    terminal: dict[str, float] = field(default_factory=dict)
    last_seen: dict[str, float] = field(default_factory=dict)
    busy: dict[str, float] = field(default_factory=dict)
    batch_waiting: dict[str, float] = field(default_factory=dict)

    def ready_at(self) -> int:
        return max(self.window[LIMIT - 1] + WINDOW if len(self.window) >= LIMIT else 0, self.pacing or 0)

    def budget(self, now: int) -> int:
        free = LIMIT - sum(at + WINDOW > now for at in self.window)
        return free if self.pacing is None else min(free, max(0, min(3, 1 + (now - self.pacing) // PACING)))

    def spend(self, count: int, now: int) -> None:
        self.window = ([now] * count + self.window)[:LIMIT]
        if self.pacing is not None:
            self.pacing = max(self.pacing, now - 2 * PACING) + count * PACING

    def keys(self) -> dict[str, Any]:
        numbers = {"seq": self.seq, "batch_seq": self.batch_seq, "outbox": self.outbox, "pacing": self.pacing}
        found: dict[str, Any] = {name: "" if number is None else str(number) for name, number in numbers.items()}
        found["batch"] = {"at": str(self.batch_at)} if self.batch_at else {}
        found["window"] = [str(at) for at in self.window]
        found["queue"] = [[str(each) if each is not None else "-" for each in queued[:4]] for queued in self.queue]
        for name in ("relayed", "latest", "waiting", "terminal", "last_seen", "busy", "batch_waiting"):
            found[name] = getattr(self, name)
        return {f"room:{self.id}:{name}": value for name, value in found.items()}


class Agents:
    """What the scripts know about agents, and the clocks."""

    def __init__(self, wall: int) -> None:
        self.wall = self.now = wall
        self.steady: tuple[int, int] | None = None  # the last time and the offset from the wall clock
        self.rooms: dict[str, Room] = {}
        self.listeners: set[str] = set()  # views that somebody listens to
        self.version: dict[str, int] = {}
        self.task: dict[str, str] = {}
        self.task_version: dict[str, int] = {}
        self.next_allowed: dict[str, int] = {}
        self.pending: dict[str, int] = {}
        self.updates: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)  # terminal ones: (room, data)
        self.last_seen: dict[str, float] = {}
        self.busy: dict[str, float] = {}
        self.due: dict[str, float] = {}

    def room(self, id_: str) -> Room:
        return self.rooms.setdefault(id_, Room(id_))

    def steady_time(self) -> int:
        if self.steady is None:
            return self.wall
        last, offset = self.steady
        return min(max(self.wall + offset, last), last + MAX_PAUSE)

    def advance_clock(self, expected: int | None) -> None:
        self.now = self.wall
        if self.steady is not None:
            last, offset = self.steady
            latest = last + MAX_PAUSE if expected is None else expected + TOLERANCE
            time = self.wall + offset
            if time > latest:
                time = last if expected is None else expected
            self.now = max(time, last)
        self.steady = (self.now, self.now - self.wall)

    def is_due(self, id_: str, at: float) -> None:
        self.due[id_] = min(at, self.due.get(id_, at))

    def allocate_versions(self, *agents: str) -> list[Any]:
        reply: list[Any] = []
        for agent in agents:
            version = max(self.wall, self.version.get(agent, 0) + 1)
            self.version[agent] = version + 1
            reply += [str(version), self.pending.get(agent, 0)]
        return reply

    def report(self, reports: list[tuple[str, str, str, str]]) -> list[Any]:
        now, moves, reply = self.steady_time(), [], [str(self.wall)]
        for index, (agent, id_, task, data) in enumerate(reports):
            before, room, task_before = self.version.get(agent, 0), self.room(id_), self.task.get(agent)
            version = self.wall if before < self.wall else before + 1
            is_new = task_before != f"{id_} {task}"
            if task_before and (earlier := task_before.split(" ")[0]) != id_:
                moves.append((agent, earlier, version))
            self.version[agent], self.task[agent] = version, f"{id_} {task}"
            if is_new:
                self.task_version[agent] = version
            if is_new or before < self.wall - self.wall % LAG or before > self.wall:
                for seen in (self.last_seen, self.busy, room.last_seen, room.busy):
                    seen[agent] = self.wall
            if is_new or version != self.wall:
                reply += [index, str(version), "1" if is_new else "0"]
            room.latest[agent] = f'{data},"version":"{version}"}}'
            self._wait(room, agent, max(now, self.next_allowed.get(agent, 0)))
        for agent, earlier, version in moves:
            self._set_idle(agent, self.room(earlier), version, now)
            if self.task[agent].split(" ")[0] != earlier:
                self._stop_counting(agent, self.room(earlier))
        return reply

    def _wait(self, room: Room, agent: str, due: int) -> None:
        room.waiting.setdefault(agent, due)
        if room.batch_seq is not None:
            room.batch_waiting.setdefault(agent, due)
        self.is_due(room.id, due)

    def _set_idle(self, agent: str, room: Room, version: int, due: int) -> None:
        data = room.latest.get(agent, "")
        if '"status":"RUNNING"' not in data or version_of(data) >= version:
            return
        data = data.replace('"status":"RUNNING"', '"status":"IDLE"', 1)
        data = re.sub('"estimatedCompletion":"[^"]*"', '"estimatedCompletion":null', data, count=1)
        room.latest[agent] = re.sub(r'"version":"\d+"}$', f'"version":"{version}"}}', data)
        self._wait(room, agent, due)

    def _stop_counting(self, agent: str, room: Room) -> None:
        room.busy.pop(agent, None)
        if agent in room.last_seen:
            room.last_seen[agent] = self.wall - OFFLINE_AFTER

    @staticmethod
    def record_stored(room: Room, position: int, identity: str) -> str:
        if identity in room.relayed:
            return "repeated"
        if position <= (room.outbox or 0):
            return "behind" if room.relayed else "repeated"  # release 0.1 recorded no identities
        room.relayed = [identity, *room.relayed][:MOST_IDENTITIES]
        room.outbox = position
        return "new"

    def add_stored(self, agent, id_, *update) -> str:
        position, task, data, version, kind, identity = update
        room = self.room(id_)
        found = self.record_stored(room, position, identity)
        if found != "new":
            return found
        is_newest = agent not in room.latest or version > version_of(room.latest[agent])
        due = max(self.steady_time(), self.next_allowed.get(agent, 0))
        self.version[agent] = max(version, self.version.get(agent, 0))
        self.last_seen[agent] = self.wall
        if is_newest:
            room.latest[agent] = data
            room.waiting.pop(agent, None)
        is_current = version > self.task_version.get(agent, 0)
        if is_current:
            earlier = self.task.get(agent, id_).split(" ")[0]
            if earlier != id_:
                self._set_idle(agent, self.room(earlier), version, due)
                self._stop_counting(agent, self.room(earlier))
            room.last_seen[agent] = self.wall
            self.task_version[agent], self.task[agent] = version, f"{id_} {task}"
        if kind == "terminal":
            self._add_terminal(agent, room, data, due, is_current)
        elif is_newest:
            self.busy[agent] = self.wall
            if is_current:
                room.busy[agent] = self.wall
            room.waiting[agent] = due
            if room.batch_seq is not None:
                room.batch_waiting[agent] = due
        self.is_due(id_, due)
        return "new"

    def _add_terminal(self, agent: str, room: Room, data: str, due: int, is_current: bool) -> None:
        if is_current:
            self.busy.pop(agent, None)
            room.busy.pop(agent, None)
        self.updates[agent].append((room.id, data))
        self.pending[agent] = self.pending.get(agent, 0) + 1
        if self.pending[agent] == 1:
            room.terminal[agent] = due

    def forget_silent_agents(self, id_: str, silence: int, most: int) -> int:
        room = self.room(id_)
        silent = first_of(room.last_seen, self.wall - silence, most)
        for agent in silent:
            for held in (room.latest, room.last_seen, room.busy, room.waiting, room.batch_waiting):
                held.pop(agent, None)
        return len(silent)

    def keys(self) -> dict[str, Any]:
        """Every key as Redis holds it."""
        found: dict[str, Any] = {
            "agents:version": strings(self.version),
            "agents:task": self.task,
            "agents:task_version": strings(self.task_version),
            "agents:next_allowed": strings(self.next_allowed),
            "agents:pending_terminal": strings(self.pending),
            "agents:last_seen": self.last_seen,
            "agents:busy": self.busy,
            "rooms:due": self.due,
            "clock:steady": "{} {}".format(*self.steady) if self.steady else "",
        }
        found |= {f"agent:{agent}:terminal": [" ".join(each) for each in held] for agent, held in self.updates.items()}
        for room in self.rooms.values():
            found |= room.keys()
        return found
