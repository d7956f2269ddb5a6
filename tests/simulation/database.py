"""The stored events of a simulation: a table of the outbox that can be restored from an older copy, and its relay."""

import pickle
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import redis

from app.realtime import limiter, redis_keys

BATCH, KEPT_ROWS = 100, 600


@dataclass
class Row:
    position: int
    event_type: str
    data: str
    number: str  # of the event in the simulation; in its data as `n`
    identity: str
    must_be_told: bool
    is_published: bool = False


@dataclass
class Tables:
    rows: defaultdict[str, list[Row]] = field(default_factory=partial(defaultdict, list))  # by protocol


class Database:
    def __init__(self) -> None:
        self._tables = Tables()
        self._copy: bytes | None = None
        self._excused: set[str] = set()
        self.emitted = 0

    def append(self, protocol_id: str, event_type: str, data: str, number: str) -> None:
        rows = self._tables.rows[protocol_id]
        position = rows[-1].position + 1 if rows else 1
        rows.append(Row(position, event_type, data, number, f"id{number}", '"status":"RUNNING"' not in data))

    def relay(self, protocol_id: str) -> None:
        """As app.realtime.outbox: in order, up to the first that Redis does not take."""
        rows = [row for row in self._tables.rows[protocol_id][-500:] if not row.is_published]
        for row in rows[:BATCH]:
            self.emitted += 1
            stored = limiter.StoredEvent(row.position, row.identity)
            try:
                limiter.emit(protocol_id, row.event_type, row.data, stored)
            except redis.ConnectionError:
                return
            row.is_published = True

    def has_unpublished(self, protocol_id: str) -> bool:
        return any(not row.is_published for row in self._tables.rows[protocol_id])

    def save(self) -> None:
        for protocol_id, rows in self._tables.rows.items():
            self._tables.rows[protocol_id] = rows[-KEPT_ROWS:]
        self._copy = pickle.dumps(self._tables)

    def restore(self) -> None:
        """Go back to the copy, if there is one; what came after it no longer exists."""
        if self._copy is not None:
            self._tables = pickle.loads(self._copy)  # noqa: S301 - own data

    def excuse(self, slots: list[int]) -> None:
        """Redis has lost the memory of these slots, and with it what waited there."""
        for protocol_id, rows in self._tables.rows.items():
            if redis_keys.PARTITION_SLOTS[redis_keys.partition_of(protocol_id)] in slots:
                self._excused |= {row.number for row in rows if row.is_published}

    def missing(self, told: set[str]) -> list[Any]:
        """Events that were taken but neither published nor reported as dropped."""
        rows = [row for rows in self._tables.rows.values() for row in rows]
        required = (row for row in rows if row.must_be_told and row.number not in self._excused)
        return [row for row in required if row.number not in told]
