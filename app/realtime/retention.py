"""Deletes from Redis what rooms know of agents not seen for a week, and rooms in which nothing happened for 30 days.

The database keeps the last start or end of each agent's task, and every protocol.
"""

import time
from collections.abc import Iterator
from typing import Any

from app.realtime.agent_records import read
from app.realtime.redis_keys import all_keys, room_keys
from app.realtime.scripts import Call, room_scripts

DAY_US = 24 * 3600 * 1_000_000
AGENT_SILENCE_US = 7 * DAY_US
ROOM_SILENCE_US = 30 * DAY_US
AGENTS_PER_CALL = 500
ROOMS_PER_STEP = 100


def forget_silent(deadline: float) -> int:
    """Delete until the monotonic `deadline`; returns how many agents' records and rooms. Raises redis.RedisError."""
    return sum(_forget(protocol_id, deadline) for protocol_id in _rooms(deadline))


def _rooms(deadline: float) -> Iterator[str]:
    """The rooms in Redis, those in which nothing happened for longest first in each partition."""
    nodes = room_scripts().nodes
    for key in all_keys("rooms"):
        after, first = "-inf", 0
        while time.monotonic() < deadline:
            page = ("ZRANGE", key, after, "+inf", "BYSCORE", "LIMIT", first, ROOMS_PER_STEP)
            (found,) = read(nodes, page)
            yield from (room.decode() for room in found)
            if len(found) < ROOMS_PER_STEP:
                break
            first += ROOMS_PER_STEP


def _forget(protocol_id: str, deadline: float) -> int:
    deleted, looked_at = 0, AGENTS_PER_CALL
    while looked_at == AGENTS_PER_CALL and time.monotonic() < deadline:
        looked_at, count = _run("forget_agents", protocol_id, AGENT_SILENCE_US, AGENTS_PER_CALL)
        deleted += count
    return deleted + int(_run("forget_room", protocol_id, ROOM_SILENCE_US)[0])


def _run(operation: str, protocol_id: str, *args: Any) -> Any:
    return room_scripts().run(Call(operation, room_keys(protocol_id), (protocol_id, *args)))
