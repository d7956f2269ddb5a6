"""Stores the task changes of one request (ended and started tasks and their events) in one transaction."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.agents.models import Agent
from app.agents.task_queue import TaskQueues
from app.core.database import transaction
from app.core.errors import DomainError, TooManyRequests
from app.core.values import to_wire
from app.http.idempotency import claim_key, store_response
from app.realtime import coalescer, outbox
from app.realtime.events import EventType

logger = logging.getLogger(__name__)

MAX_RETRIES = 10


class Update(NamedTuple):
    """A valid report and its position in the request."""

    position: int
    agent_id: str
    fields: dict[str, Any]


class TaskStart(NamedTuple):
    """A RUNNING report that started another task of its agent, with the version from Redis."""

    agent_id: str
    protocol_id: str
    data: dict[str, Any]
    version: int


Failure = tuple[int, DomainError | redis.RedisError]  # the position of the update and its error
Respond = Callable[[list[Failure]], dict[str, Any]]
VersionedUpdate = tuple[Update, coalescer.TaskVersions]


class _VersionConflict(Exception):
    """Another request stored a change of an agent after this request's versions were allocated."""


@dataclass(frozen=True)
class Plan:
    """The updates that a request stores, with their versions, and those that cannot be accepted now."""

    terminal: list[VersionedUpdate]
    running: list[VersionedUpdate]
    failed: list[Failure]

    @property
    def reports(self) -> list[tuple[str, dict[str, Any]]]:
        return [(update.agent_id, update.fields) for update, _ in (*self.terminal, *self.running)]


class StoredChanges(NamedTuple):
    """`protocol_ids`: protocols with new events. `task_count`: how many tasks were started or ended."""

    plan: Plan
    protocol_ids: list[str]
    task_count: int


def store(terminal: list[Update], running: list[Update], respond: Respond) -> StoredChanges:
    """Store a request's updates, its events and its response.

    Versions are allocated before the agents' rows are locked, because no transaction waits for Redis. If another
    request commits in between, the request starts over, so that versions rise in commit order; the last of 11
    attempts commits in any order. Raises StoredResponse, Conflict, TooManyRequests, redis.RedisError.
    """
    for is_last in (*[False] * MAX_RETRIES, True):
        plan = _plan(terminal, running)
        try:
            with transaction() as session:
                claim_key(session)
                protocol_ids, task_count = _write(session, plan, in_any_order=is_last)
                resume = {str(update.position): versions.next_task for update, versions in plan.running}
                store_response(session, respond(plan.failed), resume or None)
        except _VersionConflict:
            continue
        break
    return StoredChanges(plan, protocol_ids, task_count)


def store_starts(starts: Sequence[TaskStart]) -> int:
    """Store that agents started these tasks; returns how many tasks changed.

    Their reports are accepted already: a failure is logged and counts as no change.
    """
    if not starts:
        return 0
    reports = [(each.agent_id, {"task": each.data["task"], "next_task": None}) for each in starts]
    try:
        with transaction() as session:
            agents = _lock_agents(session, {start.agent_id for start in starts})
            queues = TaskQueues(session, reports)
            for start in starts:
                _start_task(queues, agents[start.agent_id], start)
            queues.write()
    except DomainError as error:
        agent_ids = sorted({start.agent_id for start in starts})
        logger.warning("task_start.store_failed", extra={"agentIds": agent_ids, "error": error.detail})
        return 0
    return queues.changes


def event_data(agent_id: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The data of an `agent:task_update` without its version."""
    progress = {"COMPLETED": 100, "FAILED": 0}.get(fields["status"], fields["progress"])
    return {
        "agentId": agent_id,
        "task": fields["task"],
        "progress": progress,
        "status": fields["status"],
        "estimatedCompletion": fields["estimated_completion"],
        "error": fields["error"],
        "nextTask": fields["next_task"],
    }


def _plan(terminal: list[Update], running: list[Update]) -> Plan:
    """Allocate versions and limit each agent's pending terminal updates.

    Raises TooManyRequests if no update can be accepted, redis.RedisError.
    """
    updates = [*terminal, *running]
    versions = coalescer.allocate_versions([update.agent_id for update in updates]) if updates else []
    accepted: list[VersionedUpdate] = []
    failed: list[Failure] = []
    pending: dict[str, int] = {}
    for update, each in zip(terminal, versions[: len(terminal)], strict=True):
        count = pending.get(update.agent_id, each.pending_terminal)
        if count >= coalescer.MAX_PENDING_TERMINAL:
            detail = f"This agent has {count} terminal updates waiting; one is emitted each second."
            failed.append((update.position, TooManyRequests(detail)))
        else:
            pending[update.agent_id] = count + 1
            accepted.append((update, each))
    if failed and len(failed) == len(updates):
        raise failed[0][1]
    return Plan(accepted, list(zip(running, versions[len(terminal) :], strict=True)), failed)


def _write(session: Session, plan: Plan, *, in_any_order: bool) -> tuple[list[str], int]:
    """Returns the protocols with new events, and how many tasks were started or ended."""
    agents = _lock_agents(session, {agent_id for agent_id, _ in plan.reports})
    if not in_any_order and any(_is_stale(agents[each.agent_id], own.terminal) for each, own in plan.terminal):
        raise _VersionConflict
    queues = TaskQueues(session, plan.reports)
    events: dict[str, list[dict[str, Any]]] = {}
    for update, versions in plan.terminal:
        for protocol_id, data in _end_task(queues, update, versions):
            _set_task(agents[update.agent_id], protocol_id, data)
            events.setdefault(protocol_id, []).append(data)
    for update, versions in plan.running:
        data = event_data(update.agent_id, update.fields)
        start = TaskStart(update.agent_id, update.fields["protocol_id"], data, versions.terminal)
        _start_task(queues, agents[update.agent_id], start)
    queues.write()
    for protocol_id in sorted(events):  # every request locks rooms in the same order
        outbox.append_all(session, protocol_id, EventType.AGENT_TASK_UPDATE, events[protocol_id])
    return list(events), queues.changes


def _end_task(queues: TaskQueues, update: Update, versions: coalescer.TaskVersions) -> list[tuple[str, dict[str, Any]]]:
    """End the task and, after a completion, start the next one; returns their events, each with its protocol."""
    agent_id, fields = update.agent_id, update.fields
    protocol_id = fields["protocol_id"]
    queues.close(agent_id, fields)
    data = event_data(agent_id, fields) | {"version": versions.terminal}
    following = queues.next_task(agent_id, fields) if fields["status"] == "COMPLETED" else None
    if following is None:
        return [(protocol_id, data)]
    if following.protocol_id == protocol_id:
        data["nextTask"] = following.name
    queues.start(agent_id, following.protocol_id, following.name)
    started = _first_state(agent_id, following.name) | {"version": versions.next_task}
    return [(protocol_id, data), (following.protocol_id, started)]


def _first_state(agent_id: str, task: str) -> dict[str, Any]:
    fields = {"task": task, "progress": 0, "status": "RUNNING", "estimated_completion": None, "error": None}
    return event_data(agent_id, fields | {"next_task": None})


def _start_task(queues: TaskQueues, agent: Agent, start: TaskStart) -> None:
    """Start the task unless a newer change of the agent is stored."""
    if not _is_stale(agent, start.version) and queues.start(agent.id, start.protocol_id, start.data["task"]):
        _set_task(agent, start.protocol_id, start.data | {"version": start.version})


def _set_task(agent: Agent, protocol_id: str, data: dict[str, Any]) -> None:
    if not _is_stale(agent, data["version"]):
        agent.task_protocol_id, agent.task_data = protocol_id, to_wire(data)
        agent.task_status, agent.task_version = data["status"], data["version"]


def _lock_agents(session: Session, agent_ids: set[str]) -> dict[str, Agent]:
    query = select(Agent).where(Agent.id.in_(sorted(agent_ids))).order_by(Agent.id).with_for_update()
    return {agent.id: agent for agent in session.scalars(query)}


def _is_stale(agent: Agent, version: int) -> bool:
    return agent.task_version is not None and agent.task_version >= version
