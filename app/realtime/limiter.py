"""The room limiter: 10 events of a room in any second, 100 waiting, the oldest dropped (spec: Event Rate Limiting).

Each operation is one Lua script that numbers, queues, spends the budget and publishes, so that no two processes can
overtake each other and no crash falls between "taken" and "published".
"""

import json
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from socketio import PubSubManager

from app.realtime import scripts
from app.realtime.events import EventType, envelope
from app.realtime.redis_keys import CHANNEL_PREFIX, room_of
from app.realtime.steady_clock import steady_clock

ROOMS_PER_CALL = 100
MAX_CALLS = 1000
BEHIND = b"behind"


class StoredEvent(NamedTuple):
    """A stored event's position in its protocol's outbox, and an identity that no other event has."""

    position: int
    identity: str


@dataclass
class Outcome:
    """What an operation emitted, dropped and left waiting.

    Times are microseconds of the steady clock; `next_due` is None if no room waits.
    """

    emitted: dict[str, int] = field(default_factory=dict)
    undelivered: list[dict[str, str]] = field(default_factory=list)
    dropped: list[dict[str, str]] = field(default_factory=list)
    waits_us: list[int] = field(default_factory=list)
    next_due: int | None = None
    now: int = 0
    rewound: list[str] = field(default_factory=list)

    def add(self, reply: list[Any]) -> None:
        """Add the reply of a script (`reply()` in lua/drain_room.lua)."""
        counts, undelivered, dropped, waits, next_due, now = reply[:6]
        for line in counts:
            event, _, count = line.decode().rpartition(" ")
            self.emitted[event] = self.emitted.get(event, 0) + int(count)
        for line in undelivered:
            protocol_id, seq, event, processes = line.decode().split(" ")
            self.undelivered.append({"protocolId": protocol_id, "seq": seq, "eventType": event, "processes": processes})
        for line in dropped:
            protocol_id, seq, event = line.decode().split(" ")
            self.dropped.append({"protocolId": protocol_id, "seq": seq, "eventType": event})
        self.waits_us.extend(int(wait) for wait in waits)
        self.next_due = int(next_due) if next_due else None
        self.now = int(now)


class _MessageWriter(PubSubManager):  # type: ignore[misc]
    """Stores the message that python-socketio would publish to its own message queue."""

    def __init__(self) -> None:
        super().__init__(write_only=True)
        self.written: dict[str, Any] = {}

    def _publish(self, data: dict[str, Any]) -> None:
        self.written = data


@cache
def message_template(event_type: str) -> str:
    """The message of an event with the placeholders `@room@`, `@protocol@`, `@timestamp@`, `@seq@` and `@data@`.

    The script replaces them in one pass, so that text inside the data is never taken for a placeholder.
    """
    writer = _MessageWriter()
    payload = envelope(event_type, timestamp="@timestamp@", protocol_id="@protocol@", seq="@seq@", data="@data@")
    writer.emit(event_type, payload, namespace="/", room=room_of("@room@"))
    return json.dumps(writer.written, separators=(",", ":")).replace('"@data@"', "@data@")


def room_args() -> tuple[str, str, str]:
    """The channel prefix and templates with which the arguments of lua/room.lua begin."""
    batch_template = message_template(EventType.AGENT_TASK_UPDATES)
    return CHANNEL_PREFIX, message_template(EventType.AGENT_TASK_UPDATE), batch_template


def emit(protocol_id: str, event_type: str, data_json: str, stored: StoredEvent | None = None) -> Outcome:
    """Emit one event into its room; skips a `stored` one that was emitted before. Raises redis.RedisError."""
    outcome = Outcome()
    event = (protocol_id, *(stored or ("", "")), event_type, message_template(event_type), data_json)
    reply = _run("emit", *event)
    if reply == BEHIND and stored is not None:
        outcome = rewind(protocol_id, stored.position - 1)
        reply = _run("emit", *event)
    outcome.add(reply)
    return outcome


def rewind(protocol_id: str, position: int) -> Outcome:
    """Set a room back to this outbox position, because its database is older than the room.

    Drops the room's queue and makes its clients fetch the state. Raises redis.RedisError.
    """
    outcome = Outcome(rewound=[protocol_id])
    outcome.add(_run("rewind", protocol_id, position))
    return outcome


def drain() -> Outcome:
    """Drain every room that is due now, a hundred in a call, since a script blocks Redis. Raises redis.RedisError.

    Rooms that become due meanwhile wait for the next drain; otherwise a thousand busy rooms would never let this one
    end.
    """
    outcome = Outcome()
    due_by = ""
    for _ in range(MAX_CALLS):
        reply = _run("drain", ROOMS_PER_CALL, due_by)
        outcome.add(reply)
        due_by = due_by or str(outcome.now)
        if reply[6] < ROOMS_PER_CALL:
            break
    return outcome


def _run(operation: str, *args: Any) -> Any:
    """Run a script that advances the steady clock."""
    clock, asked_at = steady_clock(), time.monotonic()
    reply = scripts.run(operation, *room_args(), clock.expected(), *args)
    if reply != BEHIND:
        clock.learn(int(reply[5]), asked_at)
    return reply


def open_room(protocol_id: str) -> None:
    """Number a new protocol's events from 1. Raises redis.RedisError."""
    scripts.run("read_seq", protocol_id, "0")


def current_seq(view: str) -> str:
    """The number of the last event of a room, named by its protocol id, or of its `batched_view`.

    Raises redis.RedisError.
    """
    return str(scripts.run("read_seq", view).decode())
