"""Moves of agents between rooms, which may lie on different Redis servers (spec: Event Rate Limiting).

An agent works in one room at a time: it leaves the earlier one, where it is then told of as IDLE, and what remains of
its second moves along. Each step can be repeated: after a crash between two of them the agent's next report does so.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.realtime.redis_keys import agent_keys, report_keys, room_keys
from app.realtime.scripts import Call, RoomScripts

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
REPLY_PARTS = 5  # of reply() in lua/drain_room.lua, without the steady time


class Move(NamedTuple):
    """An agent that works in another room from now on. If it has moved after `version`, it stays."""

    agent_id: str
    protocol_id: str
    version: int | None = None


@dataclass
class _Journey:
    """A move on its way: number of the move, how long (µs) the agent may not be told of, and its version."""

    move: Move
    epoch: int
    remaining: int
    to_leave: list[str]
    version: int = field(init=False)

    def __post_init__(self) -> None:
        self.version = self.epoch


Replies = list[tuple[str, list[Any]]]  # of the rooms that were left: as reply() of lua/drain_room.lua


def move(scripts: RoomScripts, moves: Sequence[Move]) -> Replies:
    """Let agents leave the rooms they worked in and arrive in their new ones; returns the emissions of the former.

    An agent that moves twice at the same moment may need several attempts. Raises redis.RedisError.
    """
    emitted: Replies = []
    least: dict[Move, int] = dict.fromkeys(moves, 0)
    for _ in range(MAX_ATTEMPTS):
        journeys = _locate(scripts, least)
        emitted += _leave(scripts, journeys)
        least = _arrive(scripts, journeys)
        if not least:
            return emitted
    logger.warning("agent.move_failed", extra={"agentIds": sorted({each.agent_id for each in least})})
    return emitted


def renew(scripts: RoomScripts, moves: Iterable[Move]) -> None:
    """Keep the locations of agents that have stayed in their rooms for a day. Raises redis.RedisError."""
    _locate(scripts, dict.fromkeys(moves, 0))


def _locate(scripts: RoomScripts, moves: dict[Move, int]) -> list[_Journey]:
    calls = [
        Call("locate", agent_keys(agent_id), (protocol_id, least, "" if version is None else version))
        for (agent_id, protocol_id, version), least in moves.items()
    ]
    return [
        _Journey(each, int(epoch), int(remaining), [room.decode() for room in rooms])
        for each, (epoch, remaining, *rooms) in zip(moves, scripts.run_all(calls), strict=True)
        if epoch
    ]


def _leave(scripts: RoomScripts, journeys: list[_Journey]) -> Replies:
    leaving: defaultdict[str, list[_Journey]] = defaultdict(list)
    for journey in journeys:
        for room in journey.to_leave:
            leaving[room].append(journey)
    calls = [
        Call("leave", room_keys(room), (room, *(part for each in those for part in (each.move.agent_id, each.epoch))))
        for room, those in leaving.items()
    ]
    emitted: Replies = []
    for (room, those), reply in zip(leaving.items(), scripts.run_all(calls), strict=True):
        emitted.append((room, reply[:REPLY_PARTS]))
        states = reply[REPLY_PARTS:]
        for each, remaining, version in zip(those, states[::2], states[1::2], strict=True):
            each.remaining = max(each.remaining, int(remaining))
            each.version = max(each.version, int(version))
    return emitted


def _arrive(scripts: RoomScripts, journeys: list[_Journey]) -> dict[Move, int]:
    """Returns the moves that met a later one in their room, and the least epoch with which to repeat them."""
    arriving: defaultdict[str, list[_Journey]] = defaultdict(list)
    for journey in journeys:
        arriving[journey.move.protocol_id].append(journey)
    calls = []
    for room, those in arriving.items():
        parts = [(each.move.agent_id, each.epoch, each.remaining, each.version) for each in those]
        calls.append(Call("arrive", report_keys(room), (room, *(part for each in parts for part in each))))
    repeated, arrived = {}, []
    for those, reply in zip(arriving.values(), scripts.run_all(calls), strict=True):
        for each, later in zip(those, reply, strict=True):
            if later:
                repeated[each.move] = int(later)
            elif each.to_leave:
                arrived.append(each)
    scripts.run_all([Call("confirm", agent_keys(each.move.agent_id)[:1], (each.epoch,)) for each in arrived])
    return repeated
