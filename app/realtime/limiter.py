"""The room limiter and the coalescer (spec: Event Rate Limiting).

A room emits 10 events in any second and keeps 100 waiting; then the oldest is dropped. An agent emits one update a
second: its newest RUNNING report, which waits in the room's `latest` hash, or a terminal update, which never merges.
Each operation is one Lua script that numbers, queues, spends the budget and publishes, so that no two processes can
overtake each other and no crash falls between "taken" and "published".
"""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from itertools import chain
from typing import Any, NamedTuple

import msgspec
import redis
from flask import current_app
from socketio import PubSubManager

from app.core.redis_multiplexer import RedisMultiplexer
from app.core.values import moment_of
from app.realtime import scripts
from app.realtime.events import EventType, envelope
from app.realtime.redis_keys import CHANNEL_PREFIX, CLOCK_KEY, room_of

ROOMS_PER_CALL = 100
MAX_CALLS = 1000
BEHIND = b"behind"
TERMINAL_STATUSES = frozenset({"COMPLETED", "FAILED"})
QUICK_SECONDS = 0.05
FRESH_SECONDS = 30.0
MAX_AGE_SECONDS = 120.0
_EVENT_FIELDS = ("protocolId", "seq", "eventType", "processes")
_pack = msgspec.msgpack.Encoder().encode


class RunningReport(NamedTuple):
    """A RUNNING report as Redis takes it: all are `str`, because its MessagePack has no other kind of string."""

    agent_id: str
    protocol_id: str
    task: str
    data_json: str  # the event's data without `version` and the closing brace


Start = tuple[RunningReport, int]  # a report that started a task, and its version


class StoredEvent(NamedTuple):
    """The position of an event in its protocol's outbox, and an identity that no other event has."""

    position: int
    identity: str


@dataclass
class Outcome:
    """What an operation emitted, dropped and left waiting. Times are microseconds of the steady clock."""

    emitted: Counter[str] = field(default_factory=Counter)
    undelivered: list[dict[str, str]] = field(default_factory=list)
    dropped: list[dict[str, str]] = field(default_factory=list)
    waits_us: list[int] = field(default_factory=list)
    next_due: int | None = None  # None if no room waits
    now: int = 0
    rewound: list[str] = field(default_factory=list)

    def add(self, reply: list[Any]) -> None:
        """Add the reply of a script (`reply()` in lua/drain_room.lua)."""
        counts, undelivered, dropped, waits, next_due, now = reply[:6]
        for line in counts:
            event, _, count = line.decode().rpartition(" ")
            self.emitted[event] += int(count)
        for events, lines in ((self.undelivered, undelivered), (self.dropped, dropped)):
            events += [dict(zip(_EVENT_FIELDS, line.decode().split(" "), strict=False)) for line in lines]
        self.waits_us += map(int, waits)
        self.next_due = int(next_due) if next_due else None
        self.now = int(now)


@cache
def message_template(event_type: str) -> str:
    """The message of an event with the placeholders `@room@`, `@protocol@`, `@timestamp@`, `@seq@` and `@data@`.

    The script replaces them in one pass, so that text inside the data is never taken for a placeholder.
    """
    written: list[dict[str, Any]] = []
    writer = PubSubManager(write_only=True)
    writer._publish = written.append  # noqa: SLF001 - python-socketio's message, without its message queue
    payload = envelope(event_type, timestamp="@timestamp@", protocol_id="@protocol@", seq="@seq@", data="@data@")
    writer.emit(event_type, payload, namespace="/", room=room_of("@room@"))
    return json.dumps(written[0], separators=(",", ":")).replace('"@data@"', "@data@")


def queued_at(entry: bytes) -> datetime:
    """When an event was put into its room's queue (lua/room.lua: enqueue), by Redis's clock."""
    message = json.loads(entry.split(b" ", 4)[4].translate(None, b"\1\2"))
    return moment_of(message["data"][0]["timestamp"])


def room_args() -> tuple[str, str, str]:
    """The channel prefix and templates with which the arguments of lua/room.lua begin."""
    batch_template = message_template(EventType.AGENT_TASK_UPDATES)
    return CHANNEL_PREFIX, message_template(EventType.AGENT_TASK_UPDATE), batch_template


def report(reports: Sequence[RunningReport], multiplexer: RedisMultiplexer | None = None) -> list[Start]:
    """Take RUNNING reports in one Redis round trip; returns those that started a task. Raises redis.RedisError."""
    reply = scripts.run("report", _pack(list(chain.from_iterable(reports))), multiplexer=multiplexer)
    changes = zip(reply[1::3], reply[2::3], reply[3::3], strict=True)
    return [(reports[index], int(version)) for index, version, is_new in changes if is_new == b"1"]


def allocate_versions(agent_ids: Sequence[str]) -> list[tuple[int, int]]:
    """Reserve two versions for each report to be stored: its own, and the next for the start of another task.

    Returns the first of them, and how many terminal updates of the agent have yet to leave. Raises redis.RedisError.
    """
    reply = scripts.run("allocate_versions", *agent_ids)
    return [(int(version), pending) for version, pending in zip(reply[::2], reply[1::2], strict=True)]


def emit(protocol_id: str, event_type: str, data_json: str, stored: StoredEvent | None = None) -> Outcome:
    """Emit one event into its room, or let a stored agent update wait there; skips a `stored` one taken before.

    A room that is ahead of the database of the `stored` event is set back first. Raises redis.RedisError.
    """
    outcome = Outcome()
    if stored is not None and event_type == EventType.AGENT_TASK_UPDATE:
        take = partial(_add_update, protocol_id, data_json, stored)
    else:
        event = (protocol_id, *(stored or ("", "")), event_type, message_template(event_type), data_json)
        take = partial(_run, "emit", *event)
    reply = take()
    if reply == BEHIND and stored is not None:
        outcome = rewind(protocol_id, stored.position - 1)
        reply = take()
    if isinstance(reply, list):
        outcome.add(reply)
    return outcome


def _add_update(protocol_id: str, data_json: str, stored: StoredEvent) -> Any:
    data = json.loads(data_json)
    kind, task = ("terminal", "") if data["status"] in TERMINAL_STATUSES else ("running", data["task"])
    update = (data["agentId"], protocol_id, stored.position, task, data_json, data["version"], kind, stored.identity)
    return scripts.run("add_stored", *update)


def rewind(protocol_id: str, position: int) -> Outcome:
    """Set a room back to the position of its older database: drops its queue, and its clients fetch the state."""
    outcome = Outcome(rewound=[protocol_id])
    outcome.add(_run("rewind", protocol_id, position))
    return outcome


def drain() -> Outcome:
    """Drain every room that is due now, a hundred in a call, since a script blocks Redis. Raises redis.RedisError.

    Rooms that become due meanwhile wait for the next drain, so that this one ends also with a thousand busy rooms.
    """
    outcome, due_by = Outcome(), ""
    for _ in range(MAX_CALLS):
        reply = _run("drain", ROOMS_PER_CALL, due_by)
        outcome.add(reply)
        due_by = due_by or str(outcome.now)
        if reply[6] < ROOMS_PER_CALL:
            break
    return outcome


def _run(operation: str, *args: Any) -> Any:
    """Run a script that advances the steady clock, and tell it what the clock should show at least.

    Redis has only a wall clock, which can be set. A process that read it lately knows how much time has passed since,
    so the scripts can tell a step forward from a pause. Replies that came late are used only if the last one is old.
    """
    state, asked_at = current_app.extensions, time.monotonic()
    steady_us, measured_at = state.get("steady_time", (0, float("-inf")))
    age = asked_at - measured_at
    expected = str(steady_us + int(age * 1e6)) if age <= MAX_AGE_SECONDS else ""
    reply = scripts.run(operation, *room_args(), expected, *args)
    now = time.monotonic()
    if reply != BEHIND and (now - asked_at < QUICK_SECONDS or now - measured_at > FRESH_SECONDS):
        state["steady_time"] = (int(reply[5]), asked_at)
    return reply


def read_steady_time(client: redis.Redis) -> int:
    """The steady time (lua/clock.lua) in microseconds. Raises redis.RedisError."""
    with client.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.get(CLOCK_KEY)
        (seconds, micros), state = pipe.execute()
    wall = int(seconds) * 1_000_000 + int(micros)
    last, offset = map(int, state.split()) if state else (0, 0)
    return max(wall + offset, last)


def open_room(protocol_id: str) -> None:
    """Number a new protocol's events from 1. Raises redis.RedisError."""
    scripts.run("read_seq", protocol_id, "0")


def current_seq(view: str) -> str:
    """The number of the last event of a room (its protocol id) or of its `batched_view`. Raises redis.RedisError."""
    return str(scripts.run("read_seq", view).decode())
