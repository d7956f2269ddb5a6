"""Agents in the read models of `/state` and `/stats`. Every query is bounded, however many agents ever reported."""

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import redis
from sqlalchemy import func, select

from app.agents.last_seen import ONLINE_SECONDS, is_online, last_seen_us, now_us
from app.agents.models import Agent, TaskStatus
from app.core.extensions import db, redis_client
from app.core.values import iso_timestamp
from app.realtime.redis_keys import BUSY_KEY, LAST_SEEN_KEY, TASK_KEY, busy_key, last_seen_key, latest_key

MAX_SHOWN = 1000
MAX_CHARACTERS = 1_000_000
RECENT_US = 24 * 3600 * 1e6


def snapshot_section(protocol_id: str) -> dict[str, Any]:
    """The protocol's agents with a running task or a report within 24 hours, in the shape of their newest events.

    At most 1,000: agents with a running task first, then the most recent. Sorted by id. An agent that now works on
    another protocol is left out. Raises redis.RedisError.
    """
    client = redis_client()
    at_us = now_us()
    agents = _newest_states(client, protocol_id, at_us - RECENT_US)
    for agent_id in _working_elsewhere(client, protocol_id, agents):
        del agents[agent_id]
    ranked = sorted(agents, key=lambda each: (_is_running(agents[each]), int(agents[each]["version"])), reverse=True)
    shown = sorted(_within_size(ranked[:MAX_SHOWN], agents))
    details = _details(client, shown, at_us)
    return {
        "agents": [agents[each] | details[each] for each in shown],
        "agentsTruncated": len(shown) < len(agents),
    }


def counts(protocol_id: str | None, granted: Collection[str] | None) -> dict[str, int]:
    """How many agents are online (reported within 120 s), offline, and busy with a task of a `granted` protocol.

    With a protocol: only agents whose last stored task belongs to it. Raises redis.RedisError.
    """
    client = redis_client()
    since = now_us() - ONLINE_SECONDS * 1e6
    query = select(func.count()).select_from(Agent)
    if protocol_id is not None:
        query = query.where(Agent.task_protocol_id == protocol_id)
    online = int(client.zcount(LAST_SEEN_KEY if protocol_id is None else last_seen_key(protocol_id), since, "+inf"))
    total = db.session.scalar(query) or 0
    return {"online": online, "busy": _count_busy(client, since, granted), "offline": max(total - online, 0)}


def _count_busy(client: redis.Redis, since_us: float, protocol_ids: Collection[str] | None) -> int:
    """Agents that had a running task in one of these protocols (None: any) since then."""
    if protocol_ids is None:
        return int(client.zcount(BUSY_KEY, since_us, "+inf"))
    with client.pipeline(transaction=False) as pipe:
        for protocol_id in protocol_ids:
            pipe.zcount(busy_key(protocol_id), since_us, "+inf")
        return sum(pipe.execute())


def _newest_states(client: redis.Redis, protocol_id: str, since_us: float) -> dict[str, dict[str, Any]]:
    """The newer of each agent's reported and stored state. Reads one agent more than is shown, to detect truncation."""
    stored = {row.id: row.task_data for row in _stored_states(protocol_id, since_us)}
    recent: Any = client.zrange(
        last_seen_key(protocol_id), "+inf", since_us, desc=True, byscore=True, offset=0, num=MAX_SHOWN + 1
    )
    ids = list(stored | {each.decode(): None for each in recent})
    if not ids:
        return {}
    reported: list[Any] = client.hmget(latest_key(protocol_id), ids)
    agents = {}
    for agent_id, text in zip(ids, reported, strict=True):
        states = [each for each in (stored.get(agent_id), json.loads(text) if text else None) if each]
        if states:
            agents[agent_id] = max(states, key=lambda each: int(each["version"]))
    return agents


def _stored_states(protocol_id: str, since_us: float) -> list[Any]:
    """Agents whose last stored task belongs to the protocol and is running, or was stored since then."""
    query = select(Agent.id, Agent.task_data).where(Agent.task_protocol_id == protocol_id)
    query = query.order_by(Agent.task_version.desc()).limit(MAX_SHOWN + 1)
    running = db.session.execute(query.where(Agent.task_status == TaskStatus.RUNNING))
    recent = db.session.execute(query.where(Agent.task_version >= int(since_us)))
    return [*running, *recent]


def _is_running(state: dict[str, Any]) -> bool:
    return bool(state["status"] == TaskStatus.RUNNING)


def _working_elsewhere(client: redis.Redis, protocol_id: str, agents: dict[str, dict[str, Any]]) -> list[str]:
    running = [agent_id for agent_id, state in agents.items() if _is_running(state)]
    tasks: list[Any] = client.hmget(TASK_KEY, running) if running else []
    return [
        agent_id
        for agent_id, task in zip(running, tasks, strict=True)
        if task is not None and task.decode().partition(" ")[0] != protocol_id
    ]


def _within_size(ranked: list[str], agents: dict[str, dict[str, Any]]) -> list[str]:
    """As many of the first agents as fit into MAX_CHARACTERS: error messages may be long."""
    characters = 0
    for index, agent_id in enumerate(ranked):
        error = agents[agent_id]["error"]
        characters += len(error["message"]) if error else 0
        if characters > MAX_CHARACTERS:
            return ranked[:index]
    return ranked


def _details(client: redis.Redis, agent_ids: list[str], at_us: float) -> dict[str, dict[str, Any]]:
    """Name, type and presence of each agent; name and type are null if the agent is not stored."""
    if not agent_ids:
        return {}
    rows = db.session.execute(select(Agent.id, Agent.name, Agent.type).where(Agent.id.in_(agent_ids)))
    stored = {row.id: (row.name, row.type) for row in rows}
    details = {}
    for agent_id, seen_us in zip(agent_ids, last_seen_us(client, agent_ids), strict=True):
        name, kind = stored.get(agent_id, (None, None))
        last_seen = seen_us and iso_timestamp(datetime.fromtimestamp(seen_us / 1e6, UTC))
        presence = "ONLINE" if is_online(seen_us, at_us) else "OFFLINE"
        details[agent_id] = {"name": name, "type": kind, "presence": presence, "lastSeen": last_seen}
    return details
