"""Agents: created, listed, given tasks; what each is doing, from Redis, or as last stored where Redis has forgotten."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import uuid_utils.compat as uuid
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from app.agents.last_seen import is_online, last_heard, now_us
from app.agents.models import Agent, AgentTask, TaskStatus
from app.auth.authorization import check_grant
from app.auth.tokens import Principal
from app.core.database import transaction, utc_now
from app.core.errors import AgentNotFound, AlreadyExists, QueueFull
from app.core.extensions import db, known_ids, redis_client
from app.core.pagination import Page, cursor_keys, page_of
from app.core.schemas import is_identifier
from app.http.idempotency import claim_key, store_response
from app.realtime.redis_keys import TASK_KEY, latest_key

MAX_QUEUED_TASKS = 1000


def create(fields: dict[str, Any]) -> dict[str, Any]:
    """Store a new agent. Raises AlreadyExists."""
    agent = Agent(id=fields["id"] or str(uuid.uuid7()), name=fields["name"], type=fields["type"], created_at=utc_now())
    try:
        with transaction() as session:
            session.add(agent)
    except IntegrityError as error:
        raise AlreadyExists(f"There is an agent {agent.id!r} already.") from error
    return _described(agent, None, None, 0.0)


def find(agent_id: str) -> Agent:
    """Raises AgentNotFound."""
    agent = db.session.get(Agent, agent_id) if is_identifier(agent_id) else None
    if agent is None:
        raise AgentNotFound(f"There is no agent {agent_id!r}.")
    return agent


def check_exists(agent_id: str) -> None:
    """Raises NotFound; asks the database once per agent and process."""
    if agent_id not in known_ids("agent"):
        find(agent_id)
        known_ids("agent")[agent_id] = True


def get(agent_id: str, principal: Principal) -> dict[str, Any]:
    return describe([find(agent_id)], principal)[0]


def list_all(principal: Principal, protocol_id: str | None, limit: int, cursor: list[Any] | None) -> Page:
    """By id; with `protocol_id` those whose last task that was stored is that protocol's. Raises NotFound."""
    query = select(Agent).order_by(Agent.id).limit(limit + 1)
    if protocol_id is not None:
        check_grant(principal, protocol_id)
        query = query.where(Agent.task_protocol_id == protocol_id)
    after = cursor_keys(cursor, str)
    if after:
        query = query.where(Agent.id > after[0])
    page = page_of(list(db.session.scalars(query)), limit, lambda agent: [agent.id])
    return Page(describe(page.items, principal), page.next_cursor)


def describe(agents: Sequence[Agent], principal: Principal) -> list[dict[str, Any]]:
    """Agents as clients see them; a current task only for readers who hold its protocol. Raises redis.RedisError."""
    if not agents:
        return []
    client = redis_client()
    ids = [agent.id for agent in agents]
    present_us, heard = now_us(), last_heard(client, ids)
    tasks: list[Any] = client.hmget(TASK_KEY, ids)
    on = [(value or b"").decode().partition(" ")[0] for value in tasks]
    with client.pipeline(transaction=False) as pipe:
        for agent, protocol_id in zip(agents, on, strict=True):
            pipe.hget(latest_key(protocol_id or agent.task_protocol_id or "-"), agent.id)
        latest = pipe.execute()
    described = []
    for agent, at, protocol_id, text in zip(agents, heard, on, latest, strict=True):
        task = _task_of(agent, protocol_id, text)
        visible = task if task and principal.sees(task["protocolId"]) else None
        described.append(_described(agent, at, visible, present_us))
    return described


def _task_of(agent: Agent, protocol_id: str, latest: bytes | None) -> dict[str, Any] | None:
    """The task the agent is on, or failed at; None when it is idle."""
    reported = json.loads(latest) | {"protocolId": protocol_id or agent.task_protocol_id} if latest else None
    stored = agent.task_data and agent.task_data | {"protocolId": agent.task_protocol_id}
    task = max(filter(None, (reported, stored)), key=lambda each: int(each["version"]), default=None)
    return None if task is None or task["status"] == TaskStatus.COMPLETED else task


def _described(agent: Agent, heard_us: float | None, task: dict[str, Any] | None, present_us: float) -> dict[str, Any]:
    return {
        "id": agent.id,
        "name": agent.name,
        "type": agent.type,
        "created_at": agent.created_at,
        "status": "ONLINE" if is_online(heard_us, present_us) else "OFFLINE",
        "last_seen": datetime.fromtimestamp(heard_us / 1e6, UTC) if heard_us else None,
        "current_task": task
        and {
            "protocol_id": task["protocolId"],
            "task": task["task"],
            "progress": task["progress"],
            "status": task["status"],
            "estimated_completion": task["estimatedCompletion"],
            "error": task["error"],
            "version": task["version"],
        },
    }


def queue_task(agent_id: str, fields: dict[str, Any]) -> AgentTask:
    """Append a task to the agent's queue. Raises NotFound, Conflict when 1,000 wait already."""
    check_exists(agent_id)
    task = AgentTask(
        agent_id=agent_id,
        protocol_id=fields["protocol_id"],
        name=fields["name"],
        status=TaskStatus.QUEUED,
        created_at=utc_now(),
    )
    queued = select(func.count()).where(AgentTask.agent_id == agent_id, AgentTask.status == TaskStatus.QUEUED)
    with transaction() as session:
        claim_key(session)
        if session.scalar(queued) >= MAX_QUEUED_TASKS:  # type: ignore[operator]
            raise QueueFull(f"The agent has {MAX_QUEUED_TASKS} tasks waiting.")
        session.add(task)
        session.flush()
        store_response(session, task)
    return task


def list_tasks(agent_id: str, principal: Principal, limit: int, cursor: list[Any] | None) -> Page:
    """The agent's tasks in order, those of protocols the reader holds."""
    check_exists(agent_id)
    query = select(AgentTask).where(AgentTask.agent_id == agent_id).order_by(AgentTask.id).limit(limit + 1)
    if not principal.sees_all:
        query = query.where(AgentTask.protocol_id.in_(principal.protocols))
    after = cursor_keys(cursor, int)
    if after:
        query = query.where(AgentTask.id > after[0])
    return page_of(list(db.session.scalars(query)), limit, lambda task: [task.id])
