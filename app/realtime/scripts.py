"""The Lua operations of `lua/`, loaded by file name and run by hash on the Redis server of their room."""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.resources import files
from typing import Any, NamedTuple, cast

import redis
from flask import Flask, current_app

from app.core.redis_nodes import RedisNodes
from app.realtime import key_upgrade, redis_keys

logger = logging.getLogger(__name__)

QUICK_SECONDS = 0.05
FRESH_SECONDS = 30.0
MAX_AGE_SECONDS = 24 * 3600.0
TOLERANCE_US = 300_000  # as in lua/clock.lua

_ROOM = ("keys", "clock", "agents")
_AGENTS = (*_ROOM, "agent_records")
_EMITTING = (*_AGENTS, "room", "publish", "queue", "batch", "terminal", "waiting", "drain_room")
_SHARED = {
    "emit": (*_EMITTING, "record_stored"),
    "drain": _EMITTING,
    "rewind": _EMITTING,
    "leave": _EMITTING,
    "report": (*_ROOM, "take_reports"),
    "arrive": _AGENTS,
    "allocate_versions": _AGENTS,
    "add_stored": (*_AGENTS, "record_stored"),
    "read_seq": _ROOM,
    "forget_agents": _AGENTS,
    "forget_room": ("keys", "clock"),
    "locate": ("agent", "clock"),
    "confirm": (),
    "disconnect": (),
    "due_rooms": ("partition", "clock"),
    "mark_server": ("partition", "clock"),
    "lease_lead": (),
}
_CLOCK_PLACES = {  # among the keys
    operation: {"keys": 0, "agent": 1, "partition": 0}[shared[0]] if "clock" in shared else None
    for operation, shared in _SHARED.items()
}
_OF_SEVERAL_CALLS = frozenset({"report"})  # one command runs them all, and has a list of their replies
_OF_ROOMS = [operation for operation in _SHARED if operation != "lease_lead"]


class Call(NamedTuple):
    """One operation to run. Those that read the clock (lua/clock.lua) reply with the partition's steady time first."""

    operation: str
    keys: Sequence[str]
    args: tuple[Any, ...] = ()


class SteadyTimes:
    """What the steady clock of each partition should show at least, by this process's monotonic clock.

    Redis has only a wall clock, which can be set. A process that read it lately knows how much time has passed since,
    so the scripts can tell a step forward from a pause. Replies that came late are used only if the last one is old.
    The age of a reply is counted from when it came, so that the true steady time is never less.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, float]] = {}  # by clock: microseconds, and when they were read

    def expected(self, clock: str, now: float) -> str:
        steady_us, measured_at = self._known.get(clock, (0, float("-inf")))
        age = now - measured_at
        return str(steady_us + int(age * 1e6)) if age <= MAX_AGE_SECONDS else ""

    def is_step(self, clock: str, steady_us: int, now: float) -> bool:
        """Whether Redis's clock was set forward, if this process can tell."""
        expected = self.expected(clock, now)
        return bool(expected) and steady_us > int(expected) + TOLERANCE_US

    def learn(self, clock: str, steady_us: int, asked_at: float, now: float) -> None:
        if now - asked_at < QUICK_SECONDS or now - self._known.get(clock, (0, float("-inf")))[1] > FRESH_SECONDS:
            self._known[clock] = (steady_us, now)


class RoomScripts:
    """Runs operations on the servers of the rooms. Needs no app context."""

    def __init__(self, nodes: RedisNodes, times: SteadyTimes | None = None) -> None:
        self.nodes = nodes
        self.times = times or SteadyTimes()

    def connect(self) -> None:
        """Connect to the servers, if they are not yet, and so learn the times before the first event.

        A process that knows no time takes a pause for a step of the clock: an event could wait a second for nothing.
        """
        self.nodes.execute([(slot, ("PING",)) for slot in redis_keys.PARTITION_SLOTS])

    def run(self, call: Call) -> Any:
        """Run one operation and return its reply without the steady time. Raises redis.RedisError."""
        asked_at = time.monotonic()
        slot, command = self._command([call], asked_at)
        try:
            reply = self.nodes.call(slot, *command)
        except redis.exceptions.NoScriptError:
            self.nodes.call(slot, "SCRIPT", "LOAD", source(call.operation))
            reply = self.nodes.call(slot, *command)
        return self._replies([call], reply, asked_at)[0]

    def run_many(self, calls: Sequence[Call]) -> list[Any]:
        """Run operations, those of one server in one round trip; returns their replies without the steady times.

        Each is atomic, and may run twice if a connection breaks, which is harmless: clients ignore an event whose
        version they have. An error is a redis.RedisError in the place of its reply.
        """
        return self._run_groups(self._groups(calls))

    def _run_groups(self, groups: Sequence[Sequence[Call]]) -> list[Any]:
        asked_at = time.monotonic()
        commands = [self._command(group, asked_at) for group in groups]
        replies = self.nodes.execute(commands)
        unknown = [index for index, reply in enumerate(replies) if isinstance(reply, redis.exceptions.NoScriptError)]
        if unknown:
            load = [(commands[index][0], ("SCRIPT", "LOAD", source(groups[index][0].operation))) for index in unknown]
            self.nodes.execute(list(dict.fromkeys(load)))
            for index, reply in zip(unknown, self.nodes.execute([commands[each] for each in unknown]), strict=True):
                replies[index] = reply
        found: list[Any] = []
        for group, reply in zip(groups, replies, strict=True):
            if len(group) > 1 and isinstance(reply, redis.ResponseError):  # one room must not fail the others
                found += self._run_groups([[call] for call in group])
            else:
                found += self._replies(group, reply, asked_at)
        return found

    def run_all(self, calls: Sequence[Call]) -> list[Any]:
        """As `run_many`, but raises the first error."""
        if len(calls) == 1:
            return [self.run(calls[0])]
        replies = self.run_many(calls) if calls else []
        for reply in replies:
            if isinstance(reply, redis.RedisError):
                raise reply
        return replies

    def _groups(self, calls: Sequence[Call]) -> list[Sequence[Call]]:
        """The calls of each command. A server of a cluster takes no command with keys of several partitions."""
        can_share = not self.nodes.is_cluster and _OF_SEVERAL_CALLS.issuperset(call.operation for call in calls)
        return [calls] if calls and can_share else [[call] for call in calls]

    def _command(self, group: Sequence[Call], now: float) -> tuple[int, tuple[Any, ...]]:
        """The slot and the command of calls of one operation."""
        operation, keys, args = group[0]
        place = _CLOCK_PLACES[operation]
        if len(group) > 1:
            keys = [key for call in group for key in call.keys]
        if place is not None:
            expected = self.times.expected
            args = tuple(
                arg for call in group for arg in (call.args[0], expected(call.keys[place], now), *call.args[1:])
            )
        return redis_keys.slot_of_key(keys[0]), ("EVALSHA", _sha(operation), len(keys), *keys, *args)

    def _replies(self, group: Sequence[Call], reply: Any, asked_at: float) -> Sequence[Any]:
        """The reply to each call of a command, without the steady times."""
        operation, now = group[0].operation, time.monotonic()
        place = _CLOCK_PLACES[operation]
        if place is None or not isinstance(reply, list):
            return [reply] * len(group)
        replies = reply if operation in _OF_SEVERAL_CALLS else [reply]
        for call, each in zip(group, replies, strict=True):
            self.times.learn(call.keys[place], int(each[0]), asked_at, now)
        return [each[1:] for each in replies]


def init_app(app: Flask) -> None:
    settings = app.extensions["dashboard_config"]
    scripts = app.extensions["room_scripts"] = scripts_at(settings.rooms_redis_url)
    app.extensions["rooms_redis"] = scripts.nodes


def scripts_at(url: str) -> RoomScripts:
    """Opens no connection."""
    times = SteadyTimes()
    nodes = RedisNodes(url, partial(prepare, times=times), sorted(redis_keys.PARTITION_SLOTS))
    return RoomScripts(nodes, times)


def room_scripts() -> RoomScripts:
    """Those of the running app."""
    return cast(RoomScripts, current_app.extensions["room_scripts"])


def prepare(call: Callable[..., Any], slots: Sequence[int], times: SteadyTimes | None = None) -> None:
    """Load the operations into a server, note in the partitions of `slots` that it holds them, and learn their `times`.

    Runs on each new connection, so before any script. Raises redis.RedisError.
    """
    for operation in _OF_ROOMS:
        call("SCRIPT", "LOAD", source(operation))
    try:
        lines = call("INFO", "server").decode().splitlines()
    except redis.ResponseError:  # not permitted: a server that forgot is not noticed
        lines = []
    about = dict(line.split(":", 1) for line in lines if ":" in line)
    if about.get("server_mode", about.get("redis_mode")) != "cluster":
        key_upgrade.upgrade(call)
    for partition in range(redis_keys.PARTITIONS):
        if redis_keys.PARTITION_SLOTS[partition] in slots:
            clock = redis_keys.partition_key(partition, "clock")
            _prepare_clock(call, clock, about.get("run_id", "-"), times or SteadyTimes())


def _prepare_clock(call: Callable[..., Any], clock: str, server: str, times: SteadyTimes) -> None:
    asked_at, (seconds, micros), known = time.monotonic(), call("TIME"), call("GET", clock)
    if known is None or known.decode().split()[3] != server:  # otherwise a pause would count as a step
        call("EVALSHA", _sha("mark_server"), 1, clock, "", times.expected(clock, asked_at), server)
        asked_at, (seconds, micros), known = time.monotonic(), call("TIME"), call("GET", clock)
    last, offset = map(int, known.split()[:2])  # read after the time, or a step of it in between would be taken twice
    steady_us = max(last, int(seconds) * 1_000_000 + int(micros) + offset)
    if not times.is_step(clock, steady_us, asked_at):
        times.learn(clock, steady_us, asked_at, time.monotonic())


@cache
def source(operation: str) -> str:
    """The text of an operation, after the shared files it needs."""
    folder = files("app.realtime") / "lua"
    return "\n".join((folder / f"{name}.lua").read_text("utf-8") for name in (*_SHARED[operation], operation))


@cache
def _sha(operation: str) -> str:
    return hashlib.sha1(source(operation).encode(), usedforsecurity=False).hexdigest()
