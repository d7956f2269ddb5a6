"""The meter: at most 10 events of a room in any second, 100 waiting, the oldest dropped (spec: Event Rate Limiting).

All of it is one atomic Lua step per operation: numbering, queueing, spending the budget and PUBLISH itself, so that no
two processes can overtake each other and no crash falls between "taken" and "sent".
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
    """A stored event's place in its protocol's outbox, and an identity that no other event has."""

    position: int
    identity: str


@dataclass
class Outcome:
    """What a call of the meter did. Times: microseconds of the steady clock; `next_due` is None when nothing waits."""

    emitted: dict[str, int] = field(default_factory=dict)
    undelivered: list[dict[str, str]] = field(default_factory=list)
    dropped: list[dict[str, str]] = field(default_factory=list)
    waits_us: list[int] = field(default_factory=list)
    next_due: int | None = None
    now: int = 0
    rewound: list[str] = field(default_factory=list)

    def add(self, answer: list[Any]) -> None:
        counts, undelivered, dropped, waits, next_due, now = answer[:6]
        for line in counts:
            event, _, count = line.decode().rpartition(" ")
            self.emitted[event] = self.emitted.get(event, 0) + int(count)
        for line in undelivered:
            protocol_id, seq, event, reached = line.decode().split(" ")
            self.undelivered.append({"protocolId": protocol_id, "seq": seq, "eventType": event, "processes": reached})
        for line in dropped:
            protocol_id, seq, event = line.decode().split(" ")
            self.dropped.append({"protocolId": protocol_id, "seq": seq, "eventType": event})
        self.waits_us.extend(int(wait) for wait in waits)
        self.next_due = int(next_due) if next_due else None
        self.now = int(now)


class _MessageWriter(PubSubManager):  # type: ignore[misc]
    """Lets python-socketio write the message of its own queue format, and keeps it instead of publishing it."""

    def __init__(self) -> None:
        super().__init__(write_only=True)
        self.written: dict[str, Any] = {}

    def _publish(self, data: dict[str, Any]) -> None:
        self.written = data


@cache
def message_template(event_type: str) -> str:
    """The queue message of an event with `@room@`, `@protocol@`, `@timestamp@`, `@seq@` and `@data@` left open.

    The script fills them in one pass, so that text inside the data is never taken for a mark.
    """
    writer = _MessageWriter()
    payload = envelope(event_type, timestamp="@timestamp@", protocol_id="@protocol@", seq="@seq@", data="@data@")
    writer.emit(event_type, payload, namespace="/", room=room_of("@room@"))
    return json.dumps(writer.written, separators=(",", ":")).replace('"@data@"', "@data@")


def _prelude() -> tuple[str, str, str]:
    batch = message_template(EventType.AGENT_TASK_UPDATES)
    return CHANNEL_PREFIX, message_template(EventType.AGENT_TASK_UPDATE), batch


def emit(protocol_id: str, event_type: str, data_json: str, stored: StoredEvent | None = None) -> Outcome:
    """Let one event into its room; a `stored` one that was let in before is passed over. Raises redis.RedisError."""
    outcome = Outcome()
    event = (protocol_id, *(stored or ("", "")), event_type, message_template(event_type), data_json)
    answer = _run("emit", *event)
    if answer == BEHIND and stored is not None:
        outcome = rewind(protocol_id, stored.position - 1)
        answer = _run("emit", *event)
    outcome.add(answer)
    return outcome


def rewind(protocol_id: str, position: int) -> Outcome:
    """Have a room start over from this outbox position: its database is older than what the room was told.

    What waits in its queue is dropped, and its clients fetch the state. Raises redis.RedisError.
    """
    outcome = Outcome(rewound=[protocol_id])
    outcome.add(_run("rewind", protocol_id, position))
    return outcome


def _run(operation: str, *arguments: Any) -> Any:
    """Run an operation that moves the steady clock."""
    clock, asked_at = steady_clock(), time.monotonic()
    answer = scripts.run(operation, *_prelude(), clock.expected(), *arguments)
    if answer != BEHIND:
        clock.learn(int(answer[5]), asked_at)
    return answer


def drain() -> Outcome:
    """Give all rooms that are due now one turn, in slices, since a script blocks Redis. Raises redis.RedisError.

    Those that come due meanwhile wait for the next drain: else a thousand busy rooms would never let this one end.
    """
    outcome = Outcome()
    due_by = ""
    for _ in range(MAX_CALLS):
        answer = _run("drain", ROOMS_PER_CALL, due_by)
        outcome.add(answer)
        due_by = due_by or str(outcome.now)
        if answer[6] < ROOMS_PER_CALL:
            break
    return outcome


def open_room(protocol_id: str) -> None:
    """Number a new protocol's events from 1. Raises redis.RedisError."""
    scripts.run("seq", protocol_id, "0")


def current_seq(protocol_id: str) -> str:
    """The number of the room's last event. Raises redis.RedisError."""
    return str(scripts.run("seq", protocol_id).decode())
