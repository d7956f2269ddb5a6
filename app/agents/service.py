"""Creates and lists agents and queues tasks. Current tasks come from Redis, or from the database if Redis has none."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import uuid_utils.compat as uuid
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from app.agents.last_seen import is_online, last_seen_us, now_us
from app.agents.models import Agent, AgentTask, TaskStatus
from app.agents.schemas import CurrentTaskSchema
from app.auth.authorization import check_grant
from app.auth.tokens import Principal
from app.core.database import transaction, utc_now
from app.core.errors import AgentNotFound, AlreadyExists, QueueFull
from app.core.extensions import db, known_ids, redis_client
from app.core.pagination import Page, cursor_keys, page_of
from app.core.schemas import camel_case, is_identifier
from app.http.idempotency import claim_key, store_response
from app.realtime.redis_keys import TASK_KEY, latest_key

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


def get(agent_id: str, principal: Principal) -> dict[str, Any]:
    return describe([find(agent_id)], principal)[0]


def list_all(principal: Principal, protocol_id: str | None, limit: int, cursor: list[Any] | None) -> Page:
    """Agents by id; with `protocol_id` only those whose last stored task belongs to it. Raises NotFound."""
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
    """Agents as clients see them; a current task only if the reader may see its protocol. Raises redis.RedisError."""
    if not agents:
        return []
    client = redis_client()
    ids = [agent.id for agent in agents]
    at_us, seen = now_us(), last_seen_us(client, ids)
    tasks: list[Any] = client.hmget(TASK_KEY, ids)
    protocol_ids = [(value or b"").decode().partition(" ")[0] for value in tasks]
    with client.pipeline(transaction=False) as pipe:
        for agent, protocol_id in zip(agents, protocol_ids, strict=True):
            pipe.hget(latest_key(protocol_id or agent.task_protocol_id or "-"), agent.id)
        latest = pipe.execute()
    described = []
    for agent, seen_us, protocol_id, text in zip(agents, seen, protocol_ids, latest, strict=True):
        task = _current_task(agent, protocol_id, text)
        visible = task if task and principal.sees(task["protocolId"]) else None
        described.append(_describe(agent, seen_us, visible, at_us))
    return described


def _current_task(agent: Agent, protocol_id: str, latest: bytes | None) -> dict[str, Any] | None:
    """The newer of the reported and the stored task; None if it was completed or there is none."""
    reported = json.loads(latest) | {"protocolId": protocol_id or agent.task_protocol_id} if latest else None
    stored = agent.task_data and agent.task_data | {"protocolId": agent.task_protocol_id}
    task = max(filter(None, (reported, stored)), key=lambda each: int(each["version"]), default=None)
    return None if task is None or task["status"] == TaskStatus.COMPLETED else task


def _describe(agent: Agent, seen_us: float | None, task: dict[str, Any] | None, at_us: float) -> dict[str, Any]:
    return {
        "id": agent.id,
        "name": agent.name,
        "type": agent.type,
        "created_at": agent.created_at,
        "status": "ONLINE" if is_online(seen_us, at_us) else "OFFLINE",
        "last_seen": datetime.fromtimestamp(seen_us / 1e6, UTC) if seen_us else None,
        "current_task": task and {name: task[camel_case(name)] for name in _TASK_FIELDS},
    }


def queue_task(agent_id: str, fields: dict[str, Any]) -> AgentTask:
    """Append a task to the agent's queue. Raises NotFound, and Conflict if 1,000 tasks are queued."""
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
            raise QueueFull(f"The agent has {MAX_QUEUED_TASKS} queued tasks.")
        session.add(task)
        session.flush()
        store_response(session, task)
    return task


def list_tasks(agent_id: str, principal: Principal, limit: int, cursor: list[Any] | None) -> Page:
    """The agent's tasks in queue order, only of protocols the reader may see."""
    check_exists(agent_id)
    query = select(AgentTask).where(AgentTask.agent_id == agent_id).order_by(AgentTask.id).limit(limit + 1)
    if not principal.sees_all:
        query = query.where(AgentTask.protocol_id.in_(principal.protocols))
    after = cursor_keys(cursor, int)
    if after:
        query = query.where(AgentTask.id > after[0])
    return page_of(list(db.session.scalars(query)), limit, lambda task: [task.id])
