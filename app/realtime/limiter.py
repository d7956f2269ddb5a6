"""The room limiter and the coalescer (spec: Event Rate Limiting).

A room emits 10 events in any second and keeps 100 waiting; then the oldest is dropped. An agent emits one update a
second: its newest RUNNING report, which waits in the room's `latest` hash, or a terminal update, which never merges.
Each operation is one Lua script that numbers, queues, spends the budget and publishes, so that no two processes can
overtake each other and no crash falls between "taken" and "published".
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import msgspec
import redis

from app.realtime import moves
from app.realtime.agent_records import parse_agent, read
from app.realtime.events import EventType
from app.realtime.moves import Move
from app.realtime.outcome import Outcome
from app.realtime.redis_keys import (
    agent_keys,
    report_keys,
    room_key,
    room_keys,
)
from app.realtime.room_groups import by_partition, drain_rooms, due_rooms, keys_together
from app.realtime.scripts import Call, RoomScripts, room_scripts

BEHIND, AWAY = b"behind", b"away"
TERMINAL_STATUSES = frozenset({"COMPLETED", "FAILED"})
_pack = msgspec.msgpack.Encoder().encode


class RunningReport(msgspec.Struct, frozen=True, gc=False):  # made in a quarter of a NamedTuple's time
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
class Taken:
    """The reports that started a task; `outcome` is what left the rooms that agents turned away from.

    `failed`: the agents whose reports were not taken, or perhaps not, because a server or a room of several failed.
    """

    starts: list[Start] = field(default_factory=list)
    outcome: Outcome | None = None
    failed: dict[str, redis.RedisError] = field(default_factory=dict)

    def add_emissions(self, emitted: moves.Replies) -> None:
        for protocol_id, reply in emitted:
            self.outcome = self.outcome or Outcome()
            self.outcome.add(protocol_id, reply)


def report(reports: Sequence[RunningReport], scripts: RoomScripts | None = None) -> Taken:
    """Take RUNNING reports, the newest of each agent, in one round trip if no agent has moved.

    Needs no app context if `scripts` are given. Raises redis.RedisError if none was taken.
    """
    scripts, taken = scripts or room_scripts(), Taken()
    if len(reports) > 1:
        reports = list({each.agent_id: each for each in reports}.values())
    unknown = _report(scripts, reports, taken)
    if unknown:
        try:
            taken.add_emissions(moves.move(scripts, [Move(each.agent_id, each.protocol_id) for each in unknown]))
            _report(scripts, unknown, taken)  # an agent that has moved on meanwhile has a newer report
        except redis.RedisError as error:
            taken.failed |= {each.agent_id: error for each in unknown}
    if len(taken.failed) == len(reports) > 0:
        raise next(iter(taken.failed.values()))
    return taken


def _report(scripts: RoomScripts, reports: Sequence[RunningReport], taken: Taken) -> list[RunningReport]:
    """Returns the reports that were not taken, because their agents did not work in these rooms."""
    calls, sent = _report_calls(reports)
    unknown: list[RunningReport] = []
    stayed: list[Move] = []
    for those, reply in zip(sent, scripts.run_many(calls) if len(calls) > 1 else scripts.run_all(calls), strict=True):
        if isinstance(reply, redis.RedisError):
            taken.failed |= {each.agent_id: reply for each in those}
        elif reply:
            started, away, renewed = reply
            starts = zip(started[::2], started[1::2], strict=True)
            taken.starts += [(those[index], int(version)) for index, version in starts]
            unknown += [those[index] for index in away]
            stayed += [Move(those[index].agent_id, those[index].protocol_id) for index in renewed]
    if stayed:
        with suppress(redis.RedisError):  # they stay known for a week, and are renewed each day
            moves.renew(scripts, stayed)
    return unknown


def _report_calls(reports: Sequence[RunningReport]) -> tuple[list[Call], list[list[RunningReport]]]:
    """The calls, and the reports that each sends."""
    if len(reports) == 1:  # most requests: a fifth of the time of the rest
        (only,) = reports
        room = only.protocol_id
        packed = _pack((room, (only.agent_id, only.task, only.data_json)))
        return [Call("report", report_keys(room), (room, packed))], [list(reports)]
    rooms: defaultdict[str, list[RunningReport]] = defaultdict(list)
    parts: defaultdict[str, list[str]] = defaultdict(list)
    for each in reports:
        rooms[each.protocol_id].append(each)
        parts[each.protocol_id] += (each.agent_id, each.task, each.data_json)
    calls: list[Call] = []
    sent: list[list[RunningReport]] = []
    for group in by_partition(rooms):
        packed = _pack([part for room in group for part in (room, parts[room])])
        calls.append(Call("report", keys_together(report_keys, group), (group[0], packed)))
        sent.append([each for room in group for each in rooms[room]])
    return calls, sent


def allocate_versions(updates: Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
    """Reserve two versions for each (agent, protocol) to be stored: its own, and one for the start of another task.

    Each agent's rise in this order. Returns the first of the two, and how many terminal updates of the agent have yet
    to leave the protocol's room. Raises redis.RedisError.
    """
    scripts, agent_ids = room_scripts(), list(dict(updates))
    located = [("HGET", agent_keys(agent_id)[0], "room") for agent_id in agent_ids]
    records = [("HGET", room_key(protocol_id, "agents"), agent_id) for agent_id, protocol_id in updates]
    found = read(scripts.nodes, *located, *records)
    current = {each: room.decode() for each, room in zip(agent_ids, found, strict=False) if room}
    rooms: defaultdict[str, list[int]] = defaultdict(list)
    for index, (agent_id, protocol_id) in enumerate(updates):
        rooms[current.setdefault(agent_id, protocol_id)].append(index)
    known = [parse_agent(record) if record else None for record in found[len(agent_ids) :]]
    # an agent whose location Redis lost may work in both rooms
    wanted = [(agent_id, each.version if each else 0) for (agent_id, _), each in zip(updates, known, strict=True)]
    calls = [
        Call("allocate_versions", report_keys(room), (room, *(part for index in indexes for part in wanted[index])))
        for room, indexes in rooms.items()
    ]
    versions: dict[int, int] = {}
    for indexes, reply in zip(rooms.values(), scripts.run_all(calls), strict=True):
        versions |= zip(indexes, map(int, reply), strict=True)
    return [(versions[index], each.pending if each else 0) for index, each in enumerate(known)]


def emit(protocol_id: str, event_type: str, data_json: str, stored: StoredEvent | None = None) -> Outcome:
    """Emit one event into its room, or let a stored agent update wait there; skips a `stored` one taken before.

    A room that is ahead of the database of the `stored` event is set back first. Raises redis.RedisError.
    """
    outcome = Outcome()
    if stored is not None and event_type == EventType.AGENT_TASK_UPDATE:
        take = partial(_add_update, protocol_id, data_json, stored, outcome)
    else:
        event = (protocol_id, *(stored or ("", "")), event_type, data_json)
        take = partial(room_scripts().run, Call("emit", room_keys(protocol_id), event))
    reply = take()
    if reply == [BEHIND] and stored is not None:
        _rewind(protocol_id, stored.position - 1, outcome)
        reply = take()
    if len(reply) > 1:
        outcome.add(protocol_id, reply)
    return outcome


def _add_update(protocol_id: str, data_json: str, stored: StoredEvent, outcome: Outcome) -> Any:
    data = json.loads(data_json)
    task = "" if data["status"] in TERMINAL_STATUSES else data["task"]
    update = (data["agentId"], stored.position, stored.identity, task, data_json, data["version"])
    scripts, keys = room_scripts(), room_keys(protocol_id)
    reply = scripts.run(Call("add_stored", keys, (protocol_id, *update, "1")))
    if reply == [AWAY]:
        move = Move(data["agentId"], protocol_id, int(data["version"]))
        for left, emissions in moves.move(scripts, [move]):
            outcome.add(left, emissions)
        reply = scripts.run(Call("add_stored", keys, (protocol_id, *update, "0")))
    return reply


def rewind(protocol_id: str, position: int) -> Outcome:
    """Set a room back to the position of its older database: drops its queue, and its clients fetch the state."""
    outcome = Outcome()
    _rewind(protocol_id, position, outcome)
    return outcome


def _rewind(protocol_id: str, position: int, outcome: Outcome) -> None:
    outcome.rewound.append(protocol_id)
    outcome.add(protocol_id, room_scripts().run(Call("rewind", room_keys(protocol_id), (protocol_id, position))))


def drain() -> Outcome:
    """Drain every room that is due now, the longest due first. Raises redis.RedisError if none could be.

    Rooms that become due meanwhile wait for the next drain, so that this one ends also with a thousand busy rooms.
    """
    scripts, outcome = room_scripts(), Outcome()
    drain_rooms(scripts, [room for _, room in due_rooms(scripts, outcome)], outcome)
    return outcome


def open_room(protocol_id: str) -> None:
    """Number a new protocol's events from 1. Raises redis.RedisError."""
    room_scripts().run(Call("read_seq", report_keys(protocol_id), (protocol_id, "seq", "0")))


def current_seq(view: str) -> str:
    """The number of the last event of a room (its protocol id) or of its `batched_view`. Raises redis.RedisError."""
    (reply,) = room_scripts().run_all([_read_seq(view)])
    return str(int(reply[0]))


def current_seqs(views: Sequence[str], scripts: RoomScripts) -> list[int | redis.RedisError]:
    """As `current_seq`, of many views in one round trip; errors in their places. Needs no app context."""
    replies = scripts.run_many(list(map(_read_seq, views)))
    return [reply if isinstance(reply, redis.RedisError) else int(reply[0]) for reply in replies]


def _read_seq(view: str) -> Call:
    protocol_id = view.removeprefix("~")
    field = "seq" if protocol_id == view else "batch_seq"
    return Call("read_seq", report_keys(protocol_id), (protocol_id, field, ""))


def queued_at(entry: bytes) -> datetime:
    """When an event was put into its room's queue (lua/publish.lua: enqueue), by Redis's clock."""
    return datetime.fromtimestamp(int(entry.split(b" ", 5)[4]) / 1000, UTC)
