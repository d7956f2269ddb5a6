"""What Redis knows of agents: in which room each works, and its record there (lua/agents.lua)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import redis

from app.core.redis_nodes import RedisNodes
from app.realtime.redis_keys import agent_keys, partition_key, partition_of, room_key, slot_of_key


class AgentRecord(NamedTuple):
    """What a room knows of an agent. Times and versions are microseconds."""

    next_allowed: int
    pending: int
    version: int
    task_version: int
    epoch: int
    is_here: bool
    task: str


class Located(NamedTuple):
    """The room in which an agent works, what it knows of it, and when it was last seen there (up to 5 s late)."""

    protocol_id: str
    record: AgentRecord | None
    last_seen_us: float | None


def parse_agent(record: bytes) -> AgentRecord:
    next_allowed, pending, version, task_version, epoch, here, task = record.decode().split(" ", 6)
    times = (int(version), int(task_version), int(epoch))
    return AgentRecord(int(next_allowed), int(pending), *times, is_here=here == "1", task=task)


def read(nodes: RedisNodes, *commands: Sequence[Any]) -> list[Any]:
    """The replies to commands of one key each, in few round trips. Raises the first error, a redis.RedisError."""
    replies = nodes.execute([(slot_of_key(command[1]), tuple(command)) for command in commands]) if commands else []
    for reply in replies:
        if isinstance(reply, redis.RedisError):
            raise reply
    return replies


def locate(nodes: RedisNodes, agent_ids: Sequence[str]) -> list[str | None]:
    """The protocol in whose room each agent works; None if it is unknown. Raises redis.RedisError."""
    rooms = read(nodes, *(("HGET", agent_keys(each)[0], "room") for each in agent_ids))
    return [room and room.decode() for room in rooms]


def read_agents(nodes: RedisNodes, agent_ids: Sequence[str]) -> list[Located | None]:
    """Raises redis.RedisError."""
    rooms = locate(nodes, agent_ids)
    known = [(agent_id, room) for agent_id, room in zip(agent_ids, rooms, strict=True) if room]
    records = read(nodes, *(("HGET", room_key(room, "agents"), agent_id) for agent_id, room in known))
    seen = read(
        nodes, *(("ZSCORE", partition_key(partition_of(room), "last_seen"), agent_id) for agent_id, room in known)
    )
    found = {
        agent_id: Located(room, record and parse_agent(record), at and float(at))
        for (agent_id, room), record, at in zip(known, records, seen, strict=True)
    }
    return [found.get(agent_id) for agent_id in agent_ids]
