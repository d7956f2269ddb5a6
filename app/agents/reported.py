"""What Redis knows of agents: when they last reported, and their newest states, for `/state` and `/stats`.

Times are microseconds of Redis's clock. Every query is bounded, however many agents ever reported.
"""

import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import redis
from sqlalchemy import func, select

from app.agents.models import Agent, TaskStatus
from app.core.extensions import db, redis_client, redis_clock
from app.core.values import iso_timestamp
from app.protocols.models import Protocol
from app.realtime import scripts
from app.realtime.redis_keys import BUSY_KEY, LAST_SEEN_KEY, TASK_KEY, VERSION_KEY, room_key

ONLINE_SECONDS = 120
MAX_SHOWN = 1000
MAX_CHARACTERS = 1_000_000
RECENT_US = 24 * 3600 * 1e6
SILENT_US = 7 * 24 * 3600 * 1_000_000
BATCH_SIZE = 500
_agent = Agent.__table__.c  # its rows take half of the time of the model's
_decode: Any = msgspec.json.Decoder().decode


def now_us() -> float:
    """Raises redis.RedisError."""
    return redis_clock().now() * 1e6


def last_seen_us(client: redis.Redis, agent_ids: Sequence[str]) -> list[float | None]:
    """The time of each agent's last report, which is its version; None if it never reported. Raises redis.RedisError.

    After Redis's clock stepped back a version can lie in the future; the time recorded for counting replaces it.
    """
    versions: list[Any] = client.hmget(VERSION_KEY, agent_ids)
    now = now_us()
    seen = [float(each) if each else None for each in versions]
    future = [index for index, each in enumerate(seen) if each is not None and each > now]
    scores: list[Any] = client.zmscore(LAST_SEEN_KEY, [agent_ids[index] for index in future]) if future else []
    for index, score in zip(future, scores, strict=True):
        seen[index] = min(score or now, now)
    return seen


def presence(seen_us: float | None, at_us: float) -> tuple[str, datetime | None]:
    """`ONLINE` if the last report is less than 120 s old, otherwise `OFFLINE`; and the time of that report."""
    if not seen_us:
        return "OFFLINE", None
    is_online = at_us - seen_us < ONLINE_SECONDS * 1e6
    return "ONLINE" if is_online else "OFFLINE", datetime.fromtimestamp(seen_us / 1e6, UTC)


def newest(*states: dict[str, Any] | None) -> dict[str, Any] | None:
    return max(filter(None, states), key=lambda each: int(each["version"]), default=None)


def snapshot_section(protocol_id: str) -> dict[str, Any]:
    """The protocol's agents with a running task or a report within 24 hours, in the shape of their newest events.

    At most 1,000: agents with a running task first, then the most recent. Sorted by id. An agent that now works on
    another protocol is left out. Raises redis.RedisError.
    """
    client, at_us = redis_client(), now_us()
    stored = _stored(protocol_id, at_us - RECENT_US)
    agents = _newest_states(client, protocol_id, at_us - RECENT_US, stored)
    running = [agent_id for agent_id, state in agents.items() if state["status"] == TaskStatus.RUNNING]
    tasks: list[Any] = client.hmget(TASK_KEY, running) if running else []
    for agent_id, task in zip(running, tasks, strict=True):
        if task is not None and task.decode().partition(" ")[0] != protocol_id:
            del agents[agent_id]
    at_work = set(running)
    ranked = sorted(agents, key=lambda each: (each in at_work, int(agents[each]["version"])), reverse=True)
    shown, characters = [], 0
    for agent_id in ranked[:MAX_SHOWN]:
        error = agents[agent_id]["error"]
        characters += len(error["message"]) if error else 0
        if characters > MAX_CHARACTERS:
            break
        shown.append(agent_id)
    described = _described(client, sorted(shown), agents, stored, at_us)
    return {"agents": described, "agentsTruncated": len(shown) < len(agents)}


def _stored(protocol_id: str, since_us: float) -> dict[str, Any]:
    """Rows of each agent's id, the version of its stored state, name and type: Redis mostly has that state too."""
    query = select(_agent.id, _agent.task_version, _agent.name, _agent.type)
    query = query.where(_agent.task_protocol_id == protocol_id).order_by(_agent.task_version.desc())
    is_running = _agent.task_status == TaskStatus.RUNNING
    stored: dict[str, Any] = {}
    for condition in (is_running, ~is_running & (_agent.task_version >= int(since_us))):
        stored |= {row[0]: row for row in db.session.execute(query.where(condition).limit(MAX_SHOWN + 1))}
    return stored


def _newest_states(
    client: redis.Redis, protocol_id: str, since_us: float, stored: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """The newer of each agent's reported and stored state. Reads one agent more than is shown, to detect truncation."""
    recent: Any = client.zrange(
        room_key(protocol_id, "last_seen"), "+inf", since_us, desc=True, byscore=True, offset=0, num=MAX_SHOWN + 1
    )
    ids = list(stored | {each.decode(): None for each in recent})
    reported: list[Any] = client.hmget(room_key(protocol_id, "latest"), ids) if ids else []
    states = {agent_id: _decode(text) for agent_id, text in zip(ids, reported, strict=True) if text}
    ahead = [each for each, row in stored.items() if each not in states or int(states[each]["version"]) < row[1]]
    return states | Agent.states(db.session(), ahead)


def _described(
    client: redis.Redis,
    agent_ids: list[str],
    states: dict[str, dict[str, Any]],
    stored: dict[str, Any],
    at_us: float,
) -> list[dict[str, Any]]:
    """The states with the agents' names, types and presence; name and type are null if the agent is not stored."""
    others = Agent.identities(db.session(), [each for each in agent_ids if each not in stored])
    described = []
    for agent_id, seen_us in zip(agent_ids, last_seen_us(client, agent_ids) if agent_ids else [], strict=True):
        name, kind = stored[agent_id][2:] if agent_id in stored else others.get(agent_id, (None, None))
        status, seen = presence(seen_us, at_us)
        about = {"name": name, "type": kind, "presence": status, "lastSeen": seen and iso_timestamp(seen)}
        described.append(states[agent_id] | about)
    return described


def counts(protocol_id: str | None, granted: Collection[str] | None) -> dict[str, int]:
    """How many agents are online (reported within 120 s), offline, and busy with a task of a `granted` protocol.

    With a protocol: only agents whose last stored task belongs to it. Raises redis.RedisError.
    """
    client, since = redis_client(), now_us() - ONLINE_SECONDS * 1e6
    query = select(func.count()).select_from(Agent)
    seen_key = LAST_SEEN_KEY
    if protocol_id is not None:
        query = query.where(Agent.task_protocol_id == protocol_id)
        seen_key = room_key(protocol_id, "last_seen")
    busy_keys = [BUSY_KEY] if granted is None else [room_key(each, "busy") for each in granted]
    with client.pipeline(transaction=False) as pipe:
        for key in (seen_key, *busy_keys):
            pipe.zcount(key, since, "+inf")
        online, *busy = pipe.execute()
    total = db.session.scalar(query) or 0
    return {"online": online, "busy": sum(busy), "offline": max(total - online, 0)}


def forget_silent(deadline: float) -> int:
    """Remove from Redis, until the monotonic `deadline`, the states of agents without a report for a week.

    The database keeps the last start or end of each agent's task. Returns how many. Raises redis.RedisError.
    """
    removed, last_id = 0, ""
    page = select(Protocol.id).order_by(Protocol.id).limit(BATCH_SIZE)
    while time.monotonic() < deadline:
        protocol_ids = list(db.session.scalars(page.where(Protocol.id > last_id)))
        db.session.rollback()
        for last_id in protocol_ids:
            batch = BATCH_SIZE
            while batch == BATCH_SIZE and time.monotonic() < deadline:
                batch = int(scripts.run("forget_silent_agents", last_id, SILENT_US, BATCH_SIZE))
                removed += batch
        if len(protocol_ids) < BATCH_SIZE:
            break
    return removed
