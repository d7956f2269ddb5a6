"""The agents of a protocol as its readers see them: the snapshot's section."""

import json
from datetime import UTC, datetime
from typing import Any

import redis
from sqlalchemy import select

from app.agents.hearing import is_online, last_heard
from app.agents.models import Agent, TaskStatus
from app.extensions import db, redis_client
from app.realtime.rooms import ON_KEY, latest_key
from app.wire import iso_timestamp

MAX_LISTED = 5000


def snapshot_section(protocol_id: str) -> list[dict[str, Any]]:
    """Each agent heard of in this protocol, as its newest event would tell it. Raises redis.RedisError.

    One that has gone on to another protocol without closing its task here is at work there, so not here.
    """
    client = redis_client()
    reported: dict[Any, Any] = client.hgetall(latest_key(protocol_id))
    latest = {key.decode(): json.loads(text) for key, text in reported.items()}
    for agent_id in _gone_elsewhere(client, protocol_id, latest):
        del latest[agent_id]
    for agent in db.session.scalars(select(Agent).where(Agent.task_protocol_id == protocol_id).limit(MAX_LISTED)):
        stored = agent.task_data
        if stored and int(stored["version"]) > int(latest.get(agent.id, stored | {"version": 0})["version"]):
            latest[agent.id] = stored
    if not latest:
        return []
    ids = sorted(latest)
    heard = dict(zip(ids, last_heard(client, ids), strict=True))
    names = {row.id: row for row in db.session.scalars(select(Agent).where(Agent.id.in_(ids)))}
    return [latest[each] | _badge(names.get(each), heard[each]) for each in ids]


def _gone_elsewhere(client: redis.Redis, protocol_id: str, latest: dict[str, Any]) -> list[str]:
    running = [agent_id for agent_id, data in latest.items() if data["status"] == TaskStatus.RUNNING]
    places: list[Any] = client.hmget(ON_KEY, running) if running else []
    return [
        agent_id
        for agent_id, place in zip(running, places, strict=True)
        if place is not None and place.decode().partition(" ")[0] != protocol_id
    ]


def _badge(agent: Agent | None, heard_us: float | None) -> dict[str, Any]:
    return {
        "name": agent and agent.name,
        "type": agent and agent.type,
        "presence": "ONLINE" if is_online(heard_us) else "OFFLINE",
        "lastSeen": heard_us and iso_timestamp(datetime.fromtimestamp(heard_us / 1e6, UTC)),
    }
