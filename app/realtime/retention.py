"""Deletes from Redis what rooms know of agents not seen for a week, and rooms in which nothing happened for 30 days.

The database keeps the last start or end of each agent's task, and every protocol.
"""

import random
import time
from typing import Any

from app.realtime.agent_records import read
from app.realtime.redis_keys import all_keys, room_keys
from app.realtime.scripts import Call, RoomScripts, room_scripts

DAY_US = 24 * 3600 * 1_000_000
AGENT_SILENCE_US = 7 * DAY_US
ROOM_SILENCE_US = 30 * DAY_US
AGENTS_PER_CALL = 500
ROOMS_PER_STEP = 100


def forget_silent(deadline: float) -> int:
    """Delete until the monotonic `deadline`; returns how many agents' records and rooms. Raises redis.RedisError.

    Begins each time with another partition, so that none is left out when there is always too little time.
    """
    scripts, deleted = room_scripts(), 0
    for key in random.sample(partitions := all_keys("rooms"), len(partitions)):
        first, found = 0, [b""] * ROOMS_PER_STEP
        while len(found) == ROOMS_PER_STEP and time.monotonic() < deadline:
            (found,) = read(scripts.nodes, ("ZRANGE", key, first, first + ROOMS_PER_STEP - 1))
            rooms = [room.decode() for room in found]
            deleted += _forget_agents(scripts, rooms, deadline)
            gone = sum(reply[0] for reply in _run(scripts, "forget_room", rooms, ROOM_SILENCE_US))
            deleted += gone
            first += len(rooms) - gone
    return deleted


def _forget_agents(scripts: RoomScripts, rooms: list[str], deadline: float) -> int:
    deleted = 0
    while rooms and time.monotonic() < deadline:
        replies = _run(scripts, "forget_agents", rooms, AGENT_SILENCE_US, AGENTS_PER_CALL)
        deleted += sum(count for _, count in replies)
        rooms = [room for room, (looked_at, _) in zip(rooms, replies, strict=True) if looked_at == AGENTS_PER_CALL]
    return deleted


def _run(scripts: RoomScripts, operation: str, rooms: list[str], *args: Any) -> list[Any]:
    return scripts.run_all([Call(operation, room_keys(room), (room, *args)) for room in rooms])
