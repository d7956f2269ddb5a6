"""The agents of a protocol as its readers see them: the snapshot's section, bounded however many were ever heard of."""

import json
from datetime import UTC, datetime
from typing import Any

import redis
from sqlalchemy import select

from app.agents.last_seen import is_online, last_heard, now_us
from app.agents.models import Agent, TaskStatus
from app.core.extensions import db, redis_client
from app.core.serialization import iso_timestamp
from app.realtime.redis_keys import TASK_KEY, last_seen_key, latest_key

MAX_SHOWN = 1000
MAX_CHARACTERS = 1_000_000
RECENT_US = 24 * 3600 * 1e6


def snapshot_section(protocol_id: str) -> dict[str, Any]:
    """Agents at work or heard within 24 hours in this protocol, as their newest events would tell them.

    At most 1,000, those at work first, then those heard last; the others are in the list of agents. Sorted by id.
    One that has gone on to another protocol without closing its task here is at work there, so not here.
    Raises redis.RedisError.
    """
    client = redis_client()
    present_us = now_us()
    agents = _newest(client, protocol_id, present_us - RECENT_US)
    for agent_id in _gone_elsewhere(client, protocol_id, agents):
        del agents[agent_id]
    ranked = sorted(agents, key=lambda each: (_is_running(agents[each]), int(agents[each]["version"])), reverse=True)
    shown = sorted(_fitting(ranked[:MAX_SHOWN], agents))
    badges = _badges(client, shown, present_us)
    return {
        "agents": [agents[each] | badges[each] for each in shown],
        "agentsTruncated": len(shown) < len(agents),
    }


def _newest(client: redis.Redis, protocol_id: str, since_us: float) -> dict[str, dict[str, Any]]:
    """What is shown of each agent, reported or stored: one more than is shown of the room's last heard, and so on."""
    stored = {row.id: row.task_data for row in _stored(protocol_id, since_us)}
    heard: Any = client.zrange(
        last_seen_key(protocol_id),
        "+inf",
        since_us,
        desc=True,
        byscore=True,
        offset=0,
        num=MAX_SHOWN + 1,
    )
    ids = list(stored | {each.decode(): None for each in heard})
    if not ids:
        return {}
    reported: list[Any] = client.hmget(latest_key(protocol_id), ids)
    agents = {}
    for agent_id, text in zip(ids, reported, strict=True):
        told = [each for each in (stored.get(agent_id), json.loads(text) if text else None) if each]
        if told:
            agents[agent_id] = max(told, key=lambda each: int(each["version"]))
    return agents


def _stored(protocol_id: str, since_us: float) -> list[Any]:
    """Agents whose last stored change is of this protocol and which were at work then, or stored it since."""
    query = select(Agent.id, Agent.task_data).where(Agent.task_protocol_id == protocol_id)
    query = query.order_by(Agent.task_version.desc()).limit(MAX_SHOWN + 1)
    running = db.session.execute(query.where(Agent.task_status == TaskStatus.RUNNING))
    recent = db.session.execute(query.where(Agent.task_version >= int(since_us)))
    return [*running, *recent]


def _is_running(data: dict[str, Any]) -> bool:
    return bool(data["status"] == TaskStatus.RUNNING)


def _gone_elsewhere(client: redis.Redis, protocol_id: str, agents: dict[str, dict[str, Any]]) -> list[str]:
    running = [agent_id for agent_id, data in agents.items() if _is_running(data)]
    places: list[Any] = client.hmget(TASK_KEY, running) if running else []
    return [
        agent_id
        for agent_id, place in zip(running, places, strict=True)
        if place is not None and place.decode().partition(" ")[0] != protocol_id
    ]


def _fitting(ranked: list[str], agents: dict[str, dict[str, Any]]) -> list[str]:
    """As many of the first as fit: the message of a failure may be long."""
    characters = 0
    for place, agent_id in enumerate(ranked):
        error = agents[agent_id]["error"]
        characters += len(error["message"]) if error else 0
        if characters > MAX_CHARACTERS:
            return ranked[:place]
    return ranked


def _badges(client: redis.Redis, agent_ids: list[str], present_us: float) -> dict[str, dict[str, Any]]:
    if not agent_ids:
        return {}
    rows = db.session.execute(select(Agent.id, Agent.name, Agent.type).where(Agent.id.in_(agent_ids)))
    known = {row.id: row for row in rows}
    heard = zip(agent_ids, last_heard(client, agent_ids), strict=True)
    return {agent_id: _badge(known.get(agent_id), heard_us, present_us) for agent_id, heard_us in heard}


def _badge(agent: Any, heard_us: float | None, present_us: float) -> dict[str, Any]:
    return {
        "name": agent and agent.name,
        "type": agent and agent.type,
        "presence": "ONLINE" if is_online(heard_us, present_us) else "OFFLINE",
        "lastSeen": heard_us and iso_timestamp(datetime.fromtimestamp(heard_us / 1e6, UTC)),
    }
