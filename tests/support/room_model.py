"""A reference model of the room scripts (app/realtime/lua) in plain Python: the same replies, messages and keys.

It follows the spec (Event Rate Limiting) and the table of app/realtime/redis_keys.py. Times are microseconds.
"""

import re
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from app.realtime.events import EventType
from app.realtime.limiter import message_template
from app.realtime.redis_keys import CHANNEL_PREFIX, CONTROL_CHANNEL
from tests.support.agent_model import Agents, Room, first_of, version_of

CAPACITY, AGENT_INTERVAL = 100, 1_010_000
MOST_UPDATES, MOST_CORRECTED = 1000, 1000
UPDATE, UPDATES = EventType.AGENT_TASK_UPDATE, EventType.AGENT_TASK_UPDATES


class Model(Agents):
    """The operations that emit. `published` are (view, message) of the views that somebody listens to."""

    def __init__(self, wall: int) -> None:
        super().__init__(wall)
        self.published: list[tuple[str, str]] = []
        self.dropped: dict[str, int] = {}
        self.dropped_at: dict[str, float] = {}
        self._start_reply()

    def _start_reply(self) -> None:
        self._emitted: defaultdict[str, int] = defaultdict(int)
        self._undelivered: list[str] = []
        self._lost: list[str] = []
        self._waits: list[str] = []

    def _reply(self, *more: Any) -> list[Any]:
        counts = sorted(f"{event} {count}" for event, count in self._emitted.items())
        due = str(int(min(self.due.values()))) if self.due else ""
        return [counts, self._undelivered, self._lost, self._waits, due, str(self.now), *more]

    def _start(self, expected: int | None) -> None:
        self._start_reply()
        self.advance_clock(expected)

    def emit(self, expected, id_, position, identity, event, data) -> Any:  # noqa: PLR0917 - as the script
        self._start(expected)
        room = self.room(id_)
        found = "new" if position == "" else self.record_stored(room, position, identity)
        if found == "behind":
            return found
        if found == "new":
            self._enqueue(room, None, event, data)
            self._drain_room(room)
        return self._reply()

    def drain(self, expected: int | None, most: int, due_by: int | None) -> list[Any]:
        self._start(expected)
        for seen in (self.last_seen, self.busy):
            future = sorted((at, name) for name, at in seen.items() if at >= self.wall + 1_000_000)
            seen.update({name: self.wall for _, name in future[:MOST_CORRECTED]})
        ids = first_of(self.due, self.now if due_by is None else due_by, most)
        for id_ in ids:
            self._drain_room(self.room(id_))
        return self._reply(len(ids))

    def rewind(self, expected: int | None, id_: str, position: int) -> list[Any]:
        self._start(expected)
        room = self.room(id_)
        if (room.outbox or 0) > position:
            room.outbox = position
            self._drop_oldest(room, 0)
            self._next_seq(room)
            if self._has_batched_view(room):
                self._next_batch_seq(room)
            self._publish(CONTROL_CHANNEL, f'{{"method":"resync","protocolId":"{id_}"}}')
            self._drain_room(room)
        return self._reply()

    def read_seq(self, view: str, first: str | None = None) -> str:
        room, is_batched = self.room(view.lstrip("~")), view.startswith("~")
        held = room.batch_seq if is_batched else room.seq
        number = (self.wall // 1000 if first is None else int(first)) if held is None else held
        if is_batched:
            room.batch_seq = number
        else:
            room.seq = number
        return str(number)

    def _publish(self, channel: str, message: str) -> int:
        if channel not in self.listeners:
            return 0
        self.published.append((channel, message))
        return 1

    def _emit(self, view: str, room: Room, seq: int, *event: str) -> int:
        event_type, timestamp, data = event
        values = {"room": view + room.id, "protocol": room.id, "timestamp": timestamp, "seq": str(seq), "data": data}
        message = re.sub("@([a-z]+)@", lambda name: values[name[1]], message_template(event_type))
        return self._publish(CHANNEL_PREFIX + view + room.id, message)

    def _timestamp(self) -> str:
        time = datetime.fromtimestamp(self.wall // 1_000_000, UTC)
        return f"{time:%Y-%m-%dT%H:%M:%S}.{self.wall // 1000 % 1000:03}Z"

    def _next_seq(self, room: Room) -> int:
        room.seq = int(self.read_seq(room.id)) + 1
        return room.seq

    def _next_batch_seq(self, room: Room) -> int:
        room.batch_seq = int(self.read_seq(f"~{room.id}")) + 1
        return room.batch_seq

    def _has_batch_listeners(self, room: Room) -> bool:
        return f"{CHANNEL_PREFIX}~{room.id}" in self.listeners

    def _has_batched_view(self, room: Room) -> bool:
        if room.batch_seq is None and self._has_batch_listeners(room):
            self.read_seq(f"~{room.id}")
            room.batch_waiting = dict(room.waiting)
        return room.batch_seq is not None

    def _enqueue(self, room: Room, agent: str | None, event: str, data: str) -> None:
        seq = self._next_seq(room)
        batch_seq = self._next_batch_seq(room) if self._has_batched_view(room) else None
        room.queue.append((seq, batch_seq, agent, event, self._timestamp(), data))

    def _drain_room(self, room: Room) -> None:
        for agent in first_of(room.terminal, self.now, max(0, CAPACITY - len(room.queue))):
            del room.terminal[agent]
            self._enqueue(room, agent, UPDATE, self.updates[agent].pop(0)[1])
        self._emit_queue(room)
        self._drop_oldest(room, CAPACITY)
        next_batch = self._emit_batch(room)
        self._emit_waiting(room)
        self._schedule(room, next_batch)

    def _record(self, room: Room, seq: int, event: str, receivers: int) -> None:
        self._emitted[event] += 1
        if receivers == 0 or room.is_disconnected:
            self._undelivered.append(f"{room.id} {seq} {event} {receivers}")

    def _complete(self, agent: str, due: int) -> None:
        self.next_allowed[agent] = due
        self.pending[agent] -= 1
        if self.pending[agent] == 0:
            del self.pending[agent]
        if self.updates[agent]:
            following = self.updates[agent][0][0]
            self.room(following).terminal[agent] = due
            self.is_due(following, due)

    def _emit_queue(self, room: Room) -> None:
        free = room.budget(self.now) if room.queue else 0
        leaving, room.queue = room.queue[: max(0, free)], room.queue[max(0, free) :]
        if leaving:
            room.spend(len(leaving), self.now)
        for seq, batch_seq, agent, event, timestamp, data in leaving:
            receivers = self._emit("", room, seq, event, timestamp, data)
            if batch_seq is not None:
                receivers += self._emit("~", room, batch_seq, event, timestamp, data)
            self._record(room, seq, event, receivers)
            if agent:
                self._complete(agent, self.now + AGENT_INTERVAL)

    def _drop_oldest(self, room: Room, capacity: int) -> None:
        while len(room.queue) > capacity:
            seq, _, agent, event, _, _ = room.queue.pop(0)
            self._lost.append(f"{room.id} {seq} {event}")
            self.dropped[room.id] = self.dropped.get(room.id, 0) + 1
            self.dropped_at[room.id] = self.wall
            if agent:
                self._complete(agent, self.now)

    def _emit_batch(self, room: Room) -> int | None:
        if not self._has_batch_listeners(room) or not self._has_batched_view(room):
            return None
        if self.now < room.batch_at + AGENT_INTERVAL:
            return room.batch_at + AGENT_INTERVAL
        if room.queue or room.ready_at() > self.now:
            return self.now
        updates = []
        for agent in first_of(room.batch_waiting, float("inf"), MOST_UPDATES):
            if agent in self.pending:
                continue
            del room.batch_waiting[agent]
            data = room.latest.get(agent, "")
            if '"status":"RUNNING"' in data or '"status":"IDLE"' in data:
                updates.append(data)
        if not updates:
            return None
        room.batch_at = self.now
        room.spend(1, self.now)
        self._emitted[UPDATES] += 1
        data = f'{{"updates":[{",".join(updates)}]}}'
        self._emit("~", room, self._next_batch_seq(room), UPDATES, self._timestamp(), data)
        return self.now + AGENT_INTERVAL

    def _allowed(self, room: Room, most: int) -> list[str]:
        allowed = []
        for agent in first_of(room.waiting, self.now, max(0, most)):
            due, pending = self.next_allowed.get(agent, 0), self.pending.get(agent, 0)
            if pending:
                due = max(due, self.now) + pending * AGENT_INTERVAL
            if due > self.now:
                room.waiting[agent] = due
            else:
                allowed.append(agent)
        return allowed

    def _emit_waiting(self, room: Room) -> None:
        agents = [] if room.queue else self._allowed(room, room.budget(self.now))
        if agents:
            room.spend(len(agents), self.now)
        for agent in agents:
            del room.waiting[agent]
            seq, data = self._next_seq(room), room.latest[agent]
            receivers = self._emit("", room, seq, UPDATE, self._timestamp(), data)
            self._record(room, seq, UPDATE, receivers + self._has_batch_listeners(room))
            self.next_allowed[agent] = self.now + AGENT_INTERVAL
            self._waits.append(str(max(0, self.wall - version_of(data))))

    def _schedule(self, room: Room, next_batch: int | None) -> None:
        ready, dues = room.ready_at(), []
        waiting = min(room.waiting.values(), default=None)
        terminal = min(room.terminal.values(), default=None)
        if room.queue or (waiting is not None and waiting <= self.now):
            dues.append(ready)
            room.pacing = ready if room.pacing is None else room.pacing
        else:
            room.pacing = None
            if waiting is not None:
                dues.append(max(waiting, ready))
        if terminal is not None:
            dues.append(max(terminal, ready) if room.queue else terminal)
        if next_batch is not None:
            dues.append(max(next_batch, ready))
        self.due.pop(room.id, None)
        if dues:
            self.due[room.id] = min(dues)

    def keys(self) -> dict[str, Any]:
        dropped = {name: str(count) for name, count in self.dropped.items()}
        return super().keys() | {"rooms:dropped": dropped, "rooms:dropped:at": self.dropped_at}
