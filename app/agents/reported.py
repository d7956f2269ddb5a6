"""What Redis knows of agents: when they last reported, and their newest states, for `/state` and `/stats`.

Times are microseconds of Redis's clock. Every query is bounded, however many agents ever reported.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import func, select

from app.agents.models import Agent, TaskStatus
from app.core.extensions import db, redis_clock
from app.core.values import iso_timestamp
from app.realtime.agent_records import AgentRecord, Located, parse_agent, read, read_agents
from app.realtime.emitter import rooms_redis
from app.realtime.redis_keys import all_keys, room_key

ONLINE_SECONDS = 120
MAX_SHOWN = 1000
MAX_CHARACTERS = 1_000_000
RECENT_US = 24 * 3600 * 1e6
REMEMBERED = 10_000  # a state of a thousand agents is made again after each change of one
_agent = Agent.__table__.c  # its rows take half of the time of the model's
_decode: Any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_parse_record = lru_cache(REMEMBERED)(parse_agent)


def now_us() -> float:
    """Raises redis.RedisError."""
    return redis_clock().now() * 1e6


def last_seen_us(agent_ids: Sequence[str]) -> list[float | None]:
    """The time of each agent's last report; None if it never reported. Raises redis.RedisError."""
    return [seen_us(located, now_us()) for located in read_agents(rooms_redis(), agent_ids)]


def seen_us(located: Located | None, at_us: float) -> float | None:
    """The version of the agent's last update, which is a time.

    After Redis's clock stepped back a version can lie in the future; the time recorded for counting replaces it.
    """
    if located is None or located.record is None:
        return None
    version = float(located.record.version)
    return version if version <= at_us else min(located.last_seen_us or at_us, at_us)


def presence(last_seen_us: float | None, at_us: float) -> tuple[str, datetime | None]:
    """`ONLINE` if the last report is less than 120 s old, otherwise `OFFLINE`; and the time of that report."""
    if not last_seen_us:
        return "OFFLINE", None
    status = "ONLINE" if _is_online(last_seen_us, at_us) else "OFFLINE"
    return status, datetime.fromtimestamp(last_seen_us / 1e6, UTC)


def _is_online(last_seen_us: float, at_us: float) -> bool:
    return at_us - last_seen_us < ONLINE_SECONDS * 1e6


def newest(*states: dict[str, Any] | None) -> dict[str, Any] | None:
    return max(filter(None, states), key=lambda each: int(each["version"]), default=None)


@dataclass(frozen=True)
class Lifetime:
    """When agents are as a snapshot shows them, if nothing in their room changes."""

    since_us: float  # when the last one was seen, or became OFFLINE; the clock may have been set back
    until_us: float  # when the next one becomes OFFLINE, or its version lies no longer in the future
    located: dict[str, Located | None]  # those that work in other rooms, or whose version lies in the future

    def holds(self, at_us: float) -> bool:
        """Whether they are so at that time. Raises redis.RedisError."""
        if not self.since_us <= at_us < self.until_us:
            return False
        return read_agents(rooms_redis(), list(self.located)) == list(self.located.values())


class _State(NamedTuple):
    """An agent's state as JSON, and what of it decides whether it is shown."""

    text: bytes
    status: str
    version: int
    error_length: int


@lru_cache(REMEMBERED)
def _state_of(text: bytes) -> _State:
    state = _decode(text)
    error = state["error"]
    return _State(text, state["status"], int(state["version"]), len(error["message"]) if error else 0)


class AgentsSection(NamedTuple):
    agents: msgspec.Raw
    is_truncated: bool
    lifetime: Lifetime


def snapshot_section(protocol_id: str, at_us: float) -> AgentsSection:
    """The protocol's agents with a running task or a report within 24 hours, in the shape of their newest events.

    At most 1,000: agents with a running task first, then the most recent. Sorted by id. An agent that now works on
    another protocol is left out. `at_us`: the present time. Raises redis.RedisError.
    """
    stored = _stored(protocol_id, at_us - RECENT_US)
    agents = _newest_states(protocol_id, at_us - RECENT_US, stored)
    records = _records(protocol_id, list(agents))
    running = {agent_id for agent_id, state in agents.items() if state.status == TaskStatus.RUNNING}
    for agent_id in running:
        if (record := records.get(agent_id)) and not record.is_here:
            del agents[agent_id]
    ranked = sorted(agents, key=lambda each: (each in running, agents[each].version), reverse=True)
    shown, characters = [], 0
    for agent_id in ranked[:MAX_SHOWN]:
        characters += agents[agent_id].error_length
        if characters > MAX_CHARACTERS:
            break
        shown.append(agent_id)
    seen: dict[str, float | None] = {  # as `seen_us` of those that work here
        each: float(record.version) for each, record in records.items() if record.is_here and record.version <= at_us
    }
    others = sorted(set(shown) - seen.keys())
    located = dict(zip(others, read_agents(rooms_redis(), others), strict=True))
    seen |= {each: seen_us(found, at_us) for each, found in located.items()}
    described, since_us, until_us = _described(sorted(shown), agents, stored, seen, at_us)
    versions = [found.record.version for found in located.values() if found and found.record]
    until_us = min([until_us, *(each for each in versions if each > at_us)])  # then it tells when the agent was seen
    lifetime = Lifetime(since_us, until_us, located)
    return AgentsSection(msgspec.Raw(_encode(described)), len(shown) < len(agents), lifetime)


def _records(protocol_id: str, agent_ids: list[str]) -> dict[str, AgentRecord]:
    if not agent_ids:
        return {}
    (records,) = read(rooms_redis(), ("HMGET", room_key(protocol_id, "agents"), *agent_ids))
    return {each: _parse_record(record) for each, record in zip(agent_ids, records, strict=True) if record}


def _stored(protocol_id: str, since_us: float) -> dict[str, Any]:
    """Rows of each agent's id, the version of its stored state, name and type: Redis mostly has that state too."""
    query = select(_agent.id, _agent.task_version, _agent.name, _agent.type)
    query = query.where(_agent.task_protocol_id == protocol_id).order_by(_agent.task_version.desc())
    is_running = _agent.task_status == TaskStatus.RUNNING
    stored: dict[str, Any] = {}
    for condition in (is_running, ~is_running & (_agent.task_version >= int(since_us))):
        stored |= {row[0]: row for row in db.session.execute(query.where(condition).limit(MAX_SHOWN + 1)).all()}
    return stored


def _newest_states(protocol_id: str, since_us: float, stored: dict[str, Any]) -> dict[str, _State]:
    """The newer of each agent's reported and stored state. Reads one agent more than is shown, to detect truncation."""
    last_seen = room_key(protocol_id, "last_seen")
    newest_first = ("ZRANGE", last_seen, "+inf", since_us, "BYSCORE", "REV", "LIMIT", 0, MAX_SHOWN + 1)
    (recent,) = read(rooms_redis(), newest_first)
    ids = list(stored | {each.decode(): None for each in recent})
    (reported,) = read(rooms_redis(), ("HMGET", room_key(protocol_id, "latest"), *ids)) if ids else [[]]
    states = {agent_id: _state_of(text) for agent_id, text in zip(ids, reported, strict=True) if text}
    ahead = [each for each, row in stored.items() if each not in states or states[each].version < row[1]]
    newer = Agent.states(db.session(), ahead)
    return states | {agent_id: _state_of(_encode(state)) for agent_id, state in newer.items()}


def _described(
    agent_ids: list[str],
    states: dict[str, _State],
    stored: dict[str, Any],
    seen: dict[str, float | None],
    at_us: float,
) -> tuple[list[msgspec.Raw], float, float]:
    """The states with the agents' names, types and presence, and since and until when they are so.

    Name and type are null if the agent is not stored. Such an agent, or one that was seen later than now, may become
    another at any time.
    """
    others = Agent.identities(db.session(), [each for each in agent_ids if each not in stored])
    described, is_lasting = [], True
    online, offline = [-math.inf], [-math.inf]
    for agent_id in agent_ids:
        row, seen_at_us = stored.get(agent_id), seen[agent_id] or 0.0
        name, kind = (row[2], row[3]) if row else others.get(agent_id, (None, None))
        is_online = _is_online(seen_at_us, at_us)
        if seen_at_us:
            (online if is_online else offline).append(seen_at_us)
        is_lasting = is_lasting and name is not None and seen_at_us < at_us
        described.append(_describe(states[agent_id].text, name, kind, is_online, seen_at_us))
    since_us = max(*online, max(offline) + ONLINE_SECONDS * 1e6) if is_lasting else math.inf
    until_us = min(online[1:], default=math.inf) + ONLINE_SECONDS * 1e6
    return described, since_us, until_us


@lru_cache(REMEMBERED)
def _describe(text: bytes, name: str | None, kind: str | None, is_online: bool, seen_us: float) -> msgspec.Raw:
    seen = iso_timestamp(datetime.fromtimestamp(seen_us / 1e6, UTC)) if seen_us else None
    presence = "ONLINE" if is_online else "OFFLINE"
    about = _encode({"name": name, "type": kind, "presence": presence, "lastSeen": seen})
    return msgspec.Raw(text[:-1] + b"," + about[1:])


def counts(protocol_id: str | None, granted: Collection[str] | None) -> dict[str, int]:
    """How many agents are online (reported within 120 s), offline, and busy with a task of a `granted` protocol.

    With a protocol: only agents whose last stored task belongs to it. Raises redis.RedisError.
    """
    since = now_us() - ONLINE_SECONDS * 1e6
    query = select(func.count()).select_from(Agent)
    seen_keys, busy_keys = all_keys("last_seen"), all_keys("busy")
    if protocol_id is not None:
        query = query.where(Agent.task_protocol_id == protocol_id)
        seen_keys = (room_key(protocol_id, "last_seen"),)
    if granted is not None:
        busy_keys = tuple(room_key(each, "busy") for each in granted)
    counted = read(rooms_redis(), *(("ZCOUNT", key, since, "+inf") for key in (*seen_keys, *busy_keys)))
    online, busy = sum(counted[: len(seen_keys)]), sum(counted[len(seen_keys) :])
    total = db.session.scalar(query) or 0
    return {"online": online, "busy": busy, "offline": max(total - online, 0)}
