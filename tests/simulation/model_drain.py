"""The part of the reference model that numbers, queues and emits the events of one room."""

from typing import Any

from tests.simulation.model_room import (
    AGENT_INTERVAL,
    CAPACITY,
    MOST_IDENTITIES,
    UPDATE,
    UPDATES,
    Agent,
    Partition,
    Room,
    first_of,
    version_of,
)  # fmt: skip

MOST_UPDATES = 1000
Message = list[str]
"""Channel and message."""


class Draining:
    room: Room
    part: Partition
    wall: int
    now: int

    def __init__(self) -> None:
        self.published: list[Message] = []
        self.listeners: dict[str, int] = {}
        self.dropped: list[str] = []  # the data of dropped events

    def start(self, room: Room, key: str) -> None:
        """Begin an operation whose keys are in the partition of this one."""
        self._prefix = key.partition("}")[0] + "}:room:"
        self.open_room(room)
        self._emitted: dict[str, int] = {}
        self._undelivered: list[str] = []
        self._lost: list[str] = []
        self._waits: list[str] = []

    def open_room(self, room: Room) -> None:
        self.room = room
        self._channel, self._batch_channel = self._prefix + room.id, f"{self._prefix}~{room.id}"

    def reply(self) -> list[Any]:
        counts = sorted(f"{event} {count}" for event, count in self._emitted.items())
        due = min(self.part.due.values(), default=None)
        delay = "" if due is None else str(max(0, due - self.now))
        return [str(self.now), delay, counts, self._undelivered, self._lost, self._waits]

    def save_agent(self, name: str, agent: Agent) -> None:
        self.room.agents[name] = agent

    def touch_room(self) -> None:
        self.part.active[self.room.id] = self.wall

    def next_seq(self, field: str) -> int:
        before = getattr(self.room, field)
        number = (self.wall // 1000 if before is None else before) + 1
        setattr(self.room, field, number)
        return number

    def has_batched_view(self) -> bool:
        room = self.room
        if room.batch_seq is None and self.listeners.get(self._batch_channel, 0) > 0:
            room.batch_seq = self.wall // 1000
            room.batch_waiting = dict(room.waiting)
        return room.batch_seq is not None

    def record_stored(self, position: int, identity: str) -> str:
        room = self.room
        if identity in room.relayed:
            return "repeated"
        if position <= (room.outbox or 0):
            return "behind" if room.relayed else "repeated"  # release 0.1 recorded no identities
        room.relayed = [identity, *room.relayed][:MOST_IDENTITIES]
        room.outbox = position
        return "new"

    def enqueue(self, name: str | None, event: str, data: str) -> None:
        seq = self.next_seq("seq")
        batch_seq = self.next_seq("batch_seq") if self.has_batched_view() else None
        self.room.queue.append((seq, batch_seq, name, event, self.wall // 1000, data))

    def publish(self, channel: str, event: str, seq: int, milliseconds: int, data: str) -> int:
        self.published.append([channel, f"{event} {seq} {milliseconds} {data}"])
        return self.listeners.get(channel, 0)

    def record(self, seq: int, event: str, receivers: int) -> None:
        self._emitted[event] = self._emitted.get(event, 0) + 1
        if self.room.disconnected_until <= self.wall:
            self.room.disconnected_until = 0  # it has expired
        if receivers == 0 or self.room.disconnected_until:
            self._undelivered.append(f"{self.room.id} {seq} {event} {receivers}")

    def drain_room(self) -> None:
        room = self.room
        if room.terminal:
            for name in first_of(room.terminal, self.now, max(0, CAPACITY - len(room.queue))):
                del room.terminal[name]
                self.enqueue(name, UPDATE, room.updates[name].pop(0))
                if not room.updates[name]:
                    del room.updates[name]
        if room.queue:
            self._emit_queue()
            self.drop_oldest(CAPACITY)
        next_batch = self._emit_batch()
        if room.waiting:
            self._emit_waiting()
        self._schedule(next_batch)

    def _complete(self, name: str, due: int) -> None:
        agent = self.room.agent(name, self.part.born)
        agent.next_allowed = max(due, agent.next_allowed)
        agent.pending = max(0, agent.pending - 1)
        self.save_agent(name, agent)
        if name in self.room.updates:
            self.room.terminal[name] = agent.next_allowed

    def _emit_queue(self) -> None:
        room = self.room
        free = max(0, room.budget(self.now, self.part.born))
        leaving, room.queue = room.queue[:free], room.queue[free:]
        if leaving:
            room.spend(len(leaving), self.now)
        for seq, batch_seq, name, event, milliseconds, data in leaving:
            receivers = self.publish(self._channel, event, seq, milliseconds, data)
            if batch_seq is not None:
                receivers += self.publish(self._batch_channel, event, batch_seq, milliseconds, data)
            self.record(seq, event, receivers)
            if name is not None:
                self._complete(name, self.now + AGENT_INTERVAL)

    def drop_oldest(self, capacity: int) -> None:
        room = self.room
        while len(room.queue) > capacity:
            seq, _, name, event, _, data = room.queue.pop(0)
            self.dropped.append(data)
            self._lost.append(f"{room.id} {seq} {event}")
            room.dropped += 1
            self.part.dropped[room.id] = self.wall
            if name is not None:
                self._complete(name, self.now)

    def _emit_batch(self) -> int | None:
        room = self.room
        if not self.listeners.get(self._batch_channel) or not self.has_batched_view():
            return None
        next_batch = (room.batch_at or 0) + AGENT_INTERVAL
        if self.now < next_batch:
            return next_batch
        if room.queue or room.ready_at(self.part.born) > self.now:
            return self.now
        updates = []
        for name in first_of(room.batch_waiting, float("inf"), MOST_UPDATES):
            if name in room.agents and room.agents[name].pending:
                continue
            del room.batch_waiting[name]
            data = room.latest.get(name, "")
            if '"status":"RUNNING"' in data or '"status":"IDLE"' in data:
                updates.append(data)
        if not updates:
            return None
        room.batch_at = self.now
        room.spend(1, self.now)
        self._emitted[UPDATES] = self._emitted.get(UPDATES, 0) + 1
        data = f'{{"updates":[{",".join(updates)}]}}'
        self.publish(self._batch_channel, UPDATES, self.next_seq("batch_seq"), self.wall // 1000, data)
        return self.now + AGENT_INTERVAL

    def _allowed(self, most: int) -> list[str]:
        room, allowed = self.room, []
        for name in first_of(room.waiting, self.now, most):
            agent = room.agent(name, self.part.born)
            due = agent.next_allowed
            if agent.pending:
                due = max(due, self.now) + agent.pending * AGENT_INTERVAL
            if due > self.now:
                room.waiting[name] = due
            else:
                allowed.append(name)
        return allowed

    def _emit_waiting(self) -> None:
        room = self.room
        names = [] if room.queue else self._allowed(max(0, room.budget(self.now, self.part.born)))
        if names:
            room.spend(len(names), self.now)
        for name in names:
            del room.waiting[name]
            seq, data, agent = self.next_seq("seq"), room.latest[name], room.agent(name, self.part.born)
            receivers = self.publish(self._channel, UPDATE, seq, self.wall // 1000, data)
            self.record(seq, UPDATE, receivers + (self.listeners.get(self._batch_channel, 0) > 0))
            agent.next_allowed = self.now + AGENT_INTERVAL
            self.save_agent(name, agent)
            self._waits.append(str(max(0, self.wall - version_of(data))))

    def _schedule(self, next_batch: int | None) -> None:
        room, dues = self.room, []
        ready = room.ready_at(self.part.born)
        waiting = min(room.waiting.values()) if room.waiting else None
        if room.queue or (waiting is not None and waiting <= self.now):
            dues.append(ready)
            room.pacing = ready if room.pacing is None else room.pacing
        else:
            room.pacing = None
            if waiting is not None:
                dues.append(max(waiting, ready))
        if room.terminal:
            terminal = min(room.terminal.values())
            dues.append(max(terminal, ready) if room.queue else terminal)
        if next_batch is not None:
            dues.append(max(next_batch, ready))
        self.part.due.pop(room.id, None)
        if dues:
            self.part.due[room.id] = min(dues)
