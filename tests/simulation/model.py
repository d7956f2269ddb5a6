"""The reference model of the room scripts: the same replies, messages and state, for one call at a time.

It follows the contract's delivery rules and the table of app/realtime/redis_keys.py. An operation is a method with the
name and arguments of its script.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from app.realtime.redis_keys import PARTITION_PARTS, ROOM_PARTS, view_of
from tests.simulation.model_moves import Moving
from tests.simulation.model_room import AGENT_INTERVAL, OFFLINE_AFTER, Partition, Room, first_of, version_of

SECOND, LAG, RENEWAL = 1_000_000, 5_000_000, 86_400_000_000
WITHOUT_CLOCK = frozenset({"confirm", "disconnect"})
EMITTING = frozenset({"emit", "drain", "rewind", "leave"})
_unpack = msgspec.msgpack.decode


def calls_of(operation: str, keys: Sequence[str], arguments: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """The keys and arguments of each call that a command runs: a report may be about several partitions."""
    if operation != "report":
        yield keys, arguments
        return
    for first in range(0, len(arguments), 3):
        those = arguments[first : first + 3]
        count = len(PARTITION_PARTS) + len(ROOM_PARTS) * (len(_unpack(those[2])) // 2)
        yield keys[:count], those
        keys = keys[count:]
    assert not keys, f"a report has {len(keys)} keys too many"


class Model(Moving):
    """One call at a time: `run` sets the room, partition and times that the operation's method works on."""

    def run(self, operation: str, part: Partition, keys: Sequence[str], wall: int, arguments: Sequence[Any]) -> Any:
        """The reply; `published` has the messages."""
        self.published, self.part, self.wall = [], part, wall
        if operation in WITHOUT_CLOCK:
            return getattr(self, operation)(keys[0], *arguments)
        id_, expected = arguments[0], arguments[1]
        self.unset = wall + part.offset  # the steady time if Redis's clock was not set
        self.now = part.advance(wall, int(expected) if expected != "" else None, is_emitting=operation in EMITTING)
        if operation in ("locate", "mark_server", "due_rooms"):
            return getattr(self, operation)(keys, *arguments)
        self.start(part.room(id_), keys[0])
        before = [(room, room.shown(), room.changes) for room in part.rooms.values()]
        reply = getattr(self, operation)(*arguments[2:])
        for room, shown, changes in before:
            assert room.changes > changes or room.shown() == shown, f"{operation} does not count a change of the agents"
        return reply

    # Operations that emit
    def emit(self, position: Any, identity: str, event: str, data: str) -> list[Any]:
        found = "new" if position == "" else self.record_stored(int(position), identity)
        if found == "behind":
            return [str(self.now), found]
        if found == "new":
            self.enqueue(None, event, data)
            self.touch_room()
            self.drain_room()
        return self.reply()

    def drain(self, *others: str) -> list[Any]:
        self.drain_room()
        for each in others:
            self.open_room(self.part.room(each))
            self.drain_room()
        return self.reply()

    def rewind(self, position: Any) -> list[Any]:
        room = self.room
        if (room.outbox or 0) > int(position):
            room.outbox = int(position)
            self.drop_oldest(0)
            self.touch_room()
            self.next_seq("seq")
            if self.has_batched_view():
                self.next_seq("batch_seq")
            self.drain_room()
        return self.reply()

    # Operations that emit nothing
    def report(self, packed: bytes) -> list[Any]:
        found: tuple[list[Any], list[int], list[int]] = ([], [], [])
        rooms, first = _unpack(packed), 0
        for id_, reports in zip(rooms[::2], rooms[1::2], strict=True):
            self.open_room(self.part.room(id_))
            first = self._report(reports, first, *found)
        return [str(self.now), *(found if any(found) else ())]

    def _report(self, flat: list[str], first: int, started: list[Any], unknown: list[int], renewed: list[int]) -> int:
        """Take the reports of a room, numbered from `first`; returns the number of the next one."""
        room, part, dues = self.room, self.part, []
        for index in range(first, first + len(flat) // 3):
            name, task, data = flat[3 * (index - first) : 3 * (index - first) + 3]
            agent = room.agents.get(name)
            if agent is None or not agent.is_here:
                unknown.append(index)
                continue
            before, is_new = agent.version, agent.task != task
            agent.version = max(self.wall, before + 1)
            due = max(self.now, agent.next_allowed, part.born + AGENT_INTERVAL)
            dues.append(due)
            if is_new:
                agent.task, agent.task_version = task, agent.version
                started += [index, str(agent.version)]
            if is_new or before < self.wall - self.wall % LAG or before > self.wall:
                for seen in (room.last_seen, room.busy, part.last_seen, part.busy):
                    seen[name] = self.wall
                part.active[room.id] = self.wall
            if before < self.wall - self.wall % RENEWAL:
                renewed.append(index)
            room.latest[name] = f'{data},"version":"{agent.version}"}}'
            room.waiting.setdefault(name, due)
            if room.batch_seq is not None:
                room.batch_waiting.setdefault(name, due)
        if dues:
            part.is_due(room.id, min(dues))
            room.changes += 1
        return first + len(flat) // 3

    def allocate_versions(self, *wanted: Any) -> list[Any]:
        reply: list[Any] = [str(self.now)]
        for name, known in zip(wanted[::2], wanted[1::2], strict=True):
            agent = self.room.agent(name, self.part.born)
            version = max(self.wall, agent.version + 1, int(known) + 1)
            agent.version = version + 1
            self.save_agent(name, agent)
            self.keep_agent(name)
            reply.append(str(version))
        self.room.changes += 1
        return reply

    def add_stored(self, name, position, identity, task, data, version, must_be_here) -> list[Any]:  # noqa: PLR0917
        room, part, is_terminal, version = self.room, self.part, task == "", int(version)
        agent = room.agent(name, part.born)
        if must_be_here == "1" and not agent.is_here:
            return [str(self.now), "away"]
        found = self.record_stored(int(position), identity)
        if found != "new":
            return [str(self.now), found]
        newer = name not in room.latest or version > version_of(room.latest[name])
        is_newest = newer and (is_terminal or agent.is_here)
        is_current = agent.is_here and version > agent.task_version
        due = max(self.now, agent.next_allowed)
        agent.version = max(agent.version, version)
        if is_newest:
            room.latest[name] = data
            room.waiting.pop(name, None)
        if is_current:
            agent.task, agent.task_version = task, version
            room.last_seen[name] = part.last_seen[name] = self.wall
            for busy in (room.busy, part.busy):
                busy.pop(name, None)
                if not is_terminal:
                    busy[name] = self.wall
        if is_terminal:
            room.updates.setdefault(name, []).append(data)
            agent.pending += 1
            if agent.pending == 1:
                room.terminal[name] = due
        elif is_newest:
            room.waiting[name] = due
            if room.batch_seq is not None:
                room.batch_waiting[name] = due
        self.save_agent(name, agent)
        self.keep_agent(name)
        if is_terminal or is_newest:
            part.is_due(room.id, due)
        room.changes += 1
        return [str(self.now), "new"]

    def read_seq(self, field: str, first: Any) -> list[Any]:
        if getattr(self.room, field) is None:
            setattr(self.room, field, self.wall // 1000 if first == "" else int(first))
            self.part.active[self.room.id] = self.wall
        return [str(self.now), str(getattr(self.room, field))]

    def forget_agents(self, silence: Any, most: Any) -> list[Any]:
        room, part = self.room, self.part
        silent = first_of(room.last_seen, self.wall - int(silence), int(most))
        gone = [name for name in silent if not (name in room.agents and room.agents[name].pending)]
        for name in silent:
            if name not in gone:
                room.last_seen[name] = self.wall - OFFLINE_AFTER
        for held in (room.agents, room.latest, room.last_seen, room.busy, room.waiting, room.batch_waiting):
            for name in gone:
                held.pop(name, None)
        for counted in (part.last_seen, part.busy):
            for name in gone:
                counted.pop(name, None)
        room.changes += bool(silent)
        return [str(self.now), len(silent), len(gone)]

    def forget_room(self, silence: Any) -> list[Any]:
        id_, part = self.room.id, self.part
        at = part.active.get(id_)
        if at is None or at > self.wall - int(silence) or id_ in part.due:
            return [str(self.now), 0]
        part.rooms[id_] = Room(id_)
        part.active.pop(id_)
        part.dropped.pop(id_, None)
        return [str(self.now), 1]

    def disconnect(self, key: str, _client: str, _at: Any, _most: Any, seconds: Any) -> int:
        room = self.part.room(view_of(key).removesuffix(":disconnected"))
        room.disconnected_until = self.wall // 1000 * 1000 + int(seconds) * SECOND
        return 1

    # Operations of a partition or an agent's location
    def due_rooms(self, _keys: Sequence[str], _id: str, _expected: Any, most: Any) -> list[Any]:
        future = self.wall + SECOND  # after a step back of the clock no agent was last seen then
        for held in (self.part.last_seen, self.part.busy):
            held.update({name: self.wall for name, at in held.items() if at >= future})
        ordered = first_of(self.part.due, float("inf"))
        due = [each for each in ordered if self.part.due[each] <= self.now][: int(most)]
        following = ordered[len(due) : len(due) + 1]
        delay = str(max(0, self.part.due[following[0]] - self.now)) if following else ""
        return [str(self.now), delay, *(part for each in due for part in (each, str(self.now - self.part.due[each])))]

    def mark_server(self, _keys: Sequence[str], _id: str, expected: Any, server: str) -> None:
        part = self.part
        if part.server != server:
            self.now = max(self.now, self.unset, int(expected or 0))
            part.born, part.server = self.now, server
            part.last, part.offset = self.now, self.now - self.wall
