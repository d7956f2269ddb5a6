"""The rooms that are due, and calls about several rooms of a partition, which share the start of a script."""

import logging
from collections.abc import Callable, Collection, Sequence

import redis

from app.realtime.outcome import Outcome
from app.realtime.redis_keys import PARTITION_PARTS, all_keys, partition_keys, partition_of, room_keys, slot_of_key
from app.realtime.scripts import Call, RoomScripts

logger = logging.getLogger(__name__)

MAX_ROOMS = 2000  # of a partition in one drain
ROOMS_PER_CALL = 10  # of ten events each: 2 ms, by which its clock runs ahead of its last event (lua/agents.lua)
CALLS_AT_ONCE = 32


def by_partition(protocol_ids: Collection[str]) -> list[list[str]]:
    """The rooms in groups of one partition, each in the place of its first room."""
    groups: list[list[str]] = []
    last: dict[int, list[str]] = {}
    for protocol_id in protocol_ids:
        partition = partition_of(protocol_id)
        if len(last.get(partition, ())) % ROOMS_PER_CALL == 0:
            last[partition] = []
            groups.append(last[partition])
        last[partition].append(protocol_id)
    return groups


def keys_together(keys_of: Callable[[str], tuple[str, ...]], group: Sequence[str]) -> Sequence[str]:
    """The keys of a call about these rooms of a partition, from the keys of a call about each."""
    first, *others = map(keys_of, group)
    return (*first, *(key for keys in others for key in keys[len(PARTITION_PARTS) :])) if others else first


def due_rooms(scripts: RoomScripts, outcome: Outcome) -> list[tuple[int, str]]:
    """The rooms that are due, and for how long (µs), the longest due first; notes in `outcome` when others will be.

    A partition in which no room waits costs one ZCARD.
    """
    dues = all_keys("due")
    waiting = scripts.nodes.execute([(slot_of_key(key), ("ZCARD", key)) for key in dues])
    busy = [partition for partition, rooms in enumerate(waiting) if not isinstance(rooms, redis.RedisError) and rooms]
    if all(isinstance(rooms, redis.RedisError) for rooms in waiting):
        raise waiting[0]
    calls = [Call("due_rooms", partition_keys(each), ("", MAX_ROOMS)) for each in busy]
    found: list[tuple[int, str]] = []
    for partition, reply in zip(busy, scripts.run_many(calls) if calls else (), strict=True):
        if isinstance(reply, redis.RedisError):
            continue
        delay, *rooms = reply
        outcome.delays_us[partition] = int(delay) if delay else None
        found += [(int(late), room.decode()) for room, late in zip(rooms[::2], rooms[1::2], strict=True)]
    return sorted(found, reverse=True)


def drain_rooms(scripts: RoomScripts, rooms: Collection[str], outcome: Outcome) -> None:
    """Drain rooms; those of a call that failed one by one. Raises redis.RedisError if a whole round trip fails."""
    groups = by_partition(rooms)
    for first in range(0, len(groups), CALLS_AT_ONCE):
        _drain(scripts, groups[first : first + CALLS_AT_ONCE], outcome)


def _drain(scripts: RoomScripts, groups: Sequence[list[str]], outcome: Outcome) -> None:
    replies = scripts.run_many([Call("drain", keys_together(room_keys, group), tuple(group)) for group in groups])
    singly: list[list[str]] = []
    for group, reply in zip(groups, replies, strict=True):
        if not isinstance(reply, redis.RedisError):
            outcome.add(group[0], reply)
        elif isinstance(reply, redis.ResponseError) and len(group) > 1:
            singly += [[room] for room in group]
        else:
            for room in group:
                logger.warning("room.drain_failed", extra={"protocolId": room, "error": str(reply)})
    if singly:
        _drain(scripts, singly, outcome)
    elif all(isinstance(reply, redis.RedisError) for reply in replies):
        raise replies[0]
