"""What an operation of the room limiter emitted, dropped and left waiting."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.realtime.redis_keys import partition_of

_EVENT_FIELDS = ("protocolId", "seq", "eventType", "processes")


@dataclass
class Outcome:
    emitted: Counter[str] = field(default_factory=Counter)
    undelivered: list[dict[str, str]] = field(default_factory=list)
    dropped: list[dict[str, str]] = field(default_factory=list)
    waits_us: list[int] = field(default_factory=list)
    rewound: list[str] = field(default_factory=list)
    delays_us: dict[int, int | None] = field(default_factory=dict)  # by partition: until a room is due, None if none is

    @property
    def delay_us(self) -> int | None:
        """Microseconds until a room is due; None if no room waits."""
        return min((each for each in self.delays_us.values() if each is not None), default=None)

    def add(self, protocol_id: str, reply: Sequence[Any]) -> None:
        """Add the reply of a script about this room and others of its partition (`reply()` in lua/drain_room.lua)."""
        delay, counts, undelivered, dropped, waits = reply
        self.delays_us[partition_of(protocol_id)] = int(delay) if delay else None
        for line in counts:
            event, _, count = line.decode().rpartition(" ")
            self.emitted[event] += int(count)
        for events, lines in ((self.undelivered, undelivered), (self.dropped, dropped)):
            events += [dict(zip(_EVENT_FIELDS, line.decode().split(" "), strict=False)) for line in lines]
        self.waits_us += map(int, waits)
