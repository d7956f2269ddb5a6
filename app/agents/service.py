"""Creates and lists agents and queues tasks. Current tasks come from Redis, or from the database if Redis has none."""

import json
from collections.abc import Sequence
from typing import Any

import uuid_utils.compat as uuid
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from app.agents.models import CLOSED, OPEN, Agent, AgentTask, TaskStatus
from app.agents.reported import newest, now_us, presence, seen_us
from app.agents.schemas import CurrentTaskSchema
from app.auth.authorization import check_grant
from app.auth.tokens import Principal
from app.core.database import transaction, utc_now
from app.core.errors import AgentNotFound, AlreadyExists, QueueFull
from app.core.extensions import db, known_ids
from app.core.pagination import Page, page_by_key
from app.core.schemas import camel_case, is_identifier
from app.http.idempotency import claim_key, store_response
from app.realtime.agent_records import read, read_agents
from app.realtime.emitter import rooms_redis
from app.realtime.redis_keys import room_key

MAX_QUEUED_TASKS = 1000
_TASK_FIELDS = CurrentTaskSchema().fields.keys()


def create(fields: dict[str, Any]) -> dict[str, Any]:
    """Store a new agent. Raises AlreadyExists."""
    agent = Agent(id=fields["id"] or str(uuid.uuid7()), name=fields["name"], type=fields["type"], created_at=utc_now())
    try:
        with transaction() as session:
            session.add(agent)
    except IntegrityError as error:
        raise AlreadyExists(f"Agent {agent.id!r} already exists.") from error
    return _describe(agent, None, None, 0.0)


def find(agent_id: str) -> Agent:
    """Raises AgentNotFound."""
    agent = db.session.get(Agent, agent_id) if is_identifier(agent_id) else None
    if agent is None:
        raise AgentNotFound(f"There is no agent {agent_id!r}.")
    return agent


def check_exists(agent_id: str) -> None:
    """Raises NotFound. Queries the database once per agent and process."""
    if agent_id not in known_ids("agent"):
        find(agent_id)
        known_ids("agent")[agent_id] = True


def list_all(principal: Principal, protocol_id: str | None, limit: int, cursor: list[Any] | None) -> Page:
    """Agents by id; with `protocol_id` only those whose last stored task belongs to it. Raises NotFound."""
    query = select(Agent)
    if protocol_id is not None:
        check_grant(principal, protocol_id)
        query = query.where(Agent.task_protocol_id == protocol_id)
    page = page_by_key(query, Agent.id, limit, cursor, is_ascending=True)
    return Page(describe(page.items, principal), page.next_cursor)


def describe(agents: Sequence[Agent], principal: Principal) -> list[dict[str, Any]]:
    """Agents as clients see them; a current task only if the reader may see its protocol. Raises redis.RedisError."""
    if not agents:
        return []
    at_us, located = now_us(), read_agents(rooms_redis(), [agent.id for agent in agents])
    protocol_ids = [
        (where and where.protocol_id) or agent.task_protocol_id for agent, where in zip(agents, located, strict=True)
    ]
    reads = [
        ("HGET", room_key(room or "-", "latest"), agent.id) for agent, room in zip(agents, protocol_ids, strict=True)
    ]
    latest = read(rooms_redis(), *reads)
    described = []
    for agent, where, protocol_id, text in zip(agents, located, protocol_ids, latest, strict=True):
        reported = json.loads(text) | {"protocolId": protocol_id} if text else None
        stored = agent.task_data and agent.task_data | {"protocolId": agent.task_protocol_id}
        task = newest(reported, stored)
        is_shown = task and task["status"] != TaskStatus.COMPLETED and principal.grants(task["protocolId"])
        described.append(_describe(agent, seen_us(where, at_us), task if is_shown else None, at_us))
    return described


def _describe(agent: Agent, last_seen_us: float | None, task: dict[str, Any] | None, at_us: float) -> dict[str, Any]:
    status, last_seen = presence(last_seen_us, at_us)
    return {
        "id": agent.id,
        "name": agent.name,
        "type": agent.type,
        "created_at": agent.created_at,
        "status": status,
        "last_seen": last_seen,
        "current_task": task and {name: task[camel_case(name)] for name in _TASK_FIELDS},
    }


def queue_task(agent_id: str, fields: dict[str, Any]) -> AgentTask:
    """Append a task to the agent's queue. Raises NotFound, and Conflict if 1,000 tasks are queued."""
    check_exists(agent_id)
    task = AgentTask(agent_id=agent_id, status=TaskStatus.QUEUED, created_at=utc_now(), **fields)
    queued = select(func.count()).where(AgentTask.agent_id == agent_id, AgentTask.status == TaskStatus.QUEUED)
    with transaction() as session:
        claim_key(session)
        if session.scalar(queued) >= MAX_QUEUED_TASKS:  # type: ignore[operator]
            raise QueueFull(f"The agent has {MAX_QUEUED_TASKS} queued tasks.")
        session.add(task)
        session.flush()
        store_response(session, task)
    return task


def list_tasks(
    agent_id: str, principal: Principal, limit: int, cursor: list[Any] | None, *, closed: bool | None
) -> Page:
    """The agent's tasks in queue order, only of protocols the reader may see; with `closed` the newest first."""
    check_exists(agent_id)
    query = select(AgentTask).where(AgentTask.agent_id == agent_id)
    if not principal.grants_all:
        query = query.where(AgentTask.protocol_id.in_(principal.protocols))
    if closed is not None:
        query = query.where(AgentTask.status.in_(CLOSED if closed else OPEN))
    return page_by_key(query, AgentTask.id, limit, cursor, is_ascending=not closed)
