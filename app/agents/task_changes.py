"""Stores the task changes of one request (ended and started tasks and their events) in one transaction."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.agents.models import Agent
from app.agents.task_queue import TaskQueues
from app.auth.authorization import rate_limit_key
from app.auth.tokens import Principal
from app.core.database import transaction
from app.core.errors import DomainError, TooManyRequests
from app.core.values import to_wire
from app.http.idempotency import claim_key, store_response, stored_by_0_1
from app.http.rate_limits import charge_token
from app.realtime import limiter, outbox
from app.realtime.events import EventType

logger = logging.getLogger(__name__)

MAX_RETRIES = 10
MAX_PENDING_TERMINAL = 100
_START = {"progress": 0, "status": "RUNNING", "estimated_completion": None, "error": None, "next_task": None}

Event = tuple[str, dict[str, Any]]  # a protocol's id, and the data of an `agent:task_update` in its room
Failure = tuple[int, str]  # the position of an update and why it cannot be accepted now
Respond = Callable[[list[Failure]], dict[str, Any]]


class Update(NamedTuple):
    """A valid report, its position in the request and, once it is to be stored, its version."""

    position: int
    agent_id: str
    fields: dict[str, Any]
    version: int = 0

    @property
    def event(self) -> Event:
        return self.fields["protocol_id"], event_data(self.agent_id, self.fields) | {"version": self.version}


@dataclass
class StoredChanges:
    """The stored updates, those that failed, the protocols with new events, and how many tasks started or ended."""

    terminal: list[Update]
    running: list[Update]
    failed: list[Failure]
    protocol_ids: list[str] = field(default_factory=list)
    task_count: int = 0


class _VersionConflict(Exception):
    """Another request stored a change of an agent after this request's versions were allocated."""


def store(terminal: list[Update], running: list[Update], respond: Respond) -> StoredChanges:
    """Store a request's updates, its events and its response.

    Versions are allocated before the agents' rows are locked, because no transaction waits for Redis. If another
    request commits in between, the request starts over, so that versions rise in commit order; the last of 11
    attempts commits in any order. Raises StoredResponse, Conflict, TooManyRequests, redis.RedisError.
    """
    for is_last in (*[False] * MAX_RETRIES, True):
        changes = _allocate(terminal, running)
        started = [update.event for update in changes.running]
        try:
            with transaction() as session:
                claim_key(session)
                before = {terminal[index].position for index in stored_by_0_1(session, len(terminal))}
                changes.terminal = [update for update in changes.terminal if update.position not in before]
                changes.protocol_ids, changes.task_count = _write(
                    session, changes.terminal, started, in_any_order=is_last
                )
                resume = {str(update.position): update.version + 1 for update in changes.running}
                store_response(session, respond(changes.failed), resume or None)
        except _VersionConflict:
            continue
        break
    return changes


def store_starts(starts: list[limiter.Start], caller: Principal) -> None:
    """Store that agents started these tasks. Their reports are accepted already: any failure is only logged."""
    events = [(each.protocol_id, json.loads(each.data_json + "}") | {"version": version}) for each, version in starts]
    try:
        if events:
            with transaction() as session:
                _, task_count = _write(session, [], events, in_any_order=True)
            charge(caller, task_count)
    except Exception as error:
        expected = isinstance(error, DomainError)
        context = {"agentIds": sorted({report.agent_id for report, _ in starts}), "error": str(error)}
        level = logging.WARNING if expected else logging.ERROR
        logger.log(level, "task_start.store_failed", exc_info=not expected, extra=context)


def charge(caller: Principal, task_count: int) -> None:
    """Charge the token one request per task started or ended; the request itself has paid for the first."""
    if task_count > 1:
        charge_token(rate_limit_key(caller), task_count - 1)


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


def _allocate(terminal: list[Update], running: list[Update]) -> StoredChanges:
    """Allocate versions and limit each agent's pending terminal updates.

    Raises TooManyRequests if no update can be accepted, redis.RedisError.
    """
    updates = [*terminal, *running]
    allocated = (
        limiter.allocate_versions([(each.agent_id, each.fields["protocol_id"]) for each in updates]) if updates else []
    )
    versioned = [update._replace(version=first) for update, (first, _) in zip(updates, allocated, strict=True)]
    changes = StoredChanges([], versioned[len(terminal) :], [])
    pending: dict[str, int] = {}
    for update, (_, waiting) in zip(versioned[: len(terminal)], allocated, strict=False):
        count = pending.get(update.agent_id, waiting)
        if count >= MAX_PENDING_TERMINAL:
            detail = f"This agent has {count} terminal updates waiting; one is emitted each second."
            changes.failed.append((update.position, detail))
        else:
            pending[update.agent_id] = count + 1
            changes.terminal.append(update)
    if changes.failed and len(changes.failed) == len(updates):
        raise TooManyRequests(changes.failed[0][1])
    return changes


def _write(session: Session, ended: list[Update], started: list[Event], *, in_any_order: bool) -> tuple[list[str], int]:
    """Write the ends and starts of tasks and the events of the ends.

    Returns the protocols with new events, and how many tasks changed. Raises _VersionConflict.
    """
    named = [(update.agent_id, update.fields["task"], update.fields["next_task"]) for update in ended]
    named += [(data["agentId"], data["task"], None) for _, data in started]
    ids = sorted({agent_id for agent_id, _, _ in named})
    rows = session.scalars(select(Agent).where(Agent.id.in_(ids)).order_by(Agent.id).with_for_update())
    agents = {agent.id: agent for agent in rows}
    if not in_any_order and any(_is_stale(agents[each.agent_id], each.version) for each in ended):
        raise _VersionConflict
    queues = TaskQueues(session, named)
    events: dict[str, list[dict[str, Any]]] = {}
    for update in ended:
        for protocol_id, data in _end_task(queues, update):
            _set_task(agents[update.agent_id], protocol_id, data)
            events.setdefault(protocol_id, []).append(data)
    for protocol_id, data in started:
        agent = agents[data["agentId"]]
        if not _is_stale(agent, data["version"]) and queues.start(agent.id, protocol_id, data["task"]):
            _set_task(agent, protocol_id, data)
    queues.write()
    for protocol_id in sorted(events):  # every request locks rooms in the same order
        outbox.append(session, protocol_id, EventType.AGENT_TASK_UPDATE, *events[protocol_id])
    return list(events), queues.changes


def _end_task(queues: TaskQueues, update: Update) -> list[Event]:
    """End the task and, after a completion, start the next one; returns their events."""
    agent_id, fields = update.agent_id, update.fields
    queues.close(agent_id, fields)
    following = queues.next_task(agent_id, fields) if fields["status"] == "COMPLETED" else None
    if following is None:
        return [update.event]
    protocol_id, name = following
    queues.start(agent_id, protocol_id, name)
    next_name = name if protocol_id == fields["protocol_id"] else fields["next_task"]
    ended = update._replace(fields=fields | {"next_task": next_name})
    start = Update(0, agent_id, _START | {"protocol_id": protocol_id, "task": name}, update.version + 1)
    return [ended.event, start.event]


def _set_task(agent: Agent, protocol_id: str, data: dict[str, Any]) -> None:
    """Store the agent's state unless a newer one is stored."""
    if not _is_stale(agent, data["version"]):
        agent.task_protocol_id, agent.task_data = protocol_id, to_wire(data)
        agent.task_status, agent.task_version = data["status"], data["version"]


def _is_stale(agent: Agent, version: int) -> bool:
    return agent.task_version is not None and agent.task_version >= version
