"""Progress reports: RUNNING ones go to the coalescer alone, COMPLETED and FAILED are stored before the answer."""

import logging
from operator import itemgetter
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.agents import service, worklist
from app.agents.models import Agent
from app.auth.guard import check_grant, check_speaks_for
from app.auth.idempotency import claim, keep
from app.auth.tokens import Principal
from app.database import transaction
from app.errors import DomainError, TooManyRequests
from app.observability import metrics
from app.protocols.service import check_exists as check_protocol
from app.realtime import coalescer, outbox
from app.realtime.envelope import EventType
from app.wire import to_wire

logger = logging.getLogger(__name__)

CLOSING_TRIES = 10


class _Overtaken(Exception):
    """Between the reservation of a version and the lock on the agent another one's change was stored."""


def report(agent_id: str, fields: dict[str, Any], principal: Principal) -> None:
    """Accept one report. Raises NotFound, Forbidden, TooManyRequests, redis.RedisError."""
    check(agent_id, fields["protocol_id"], principal)
    if fields["status"] in coalescer.FINAL_STATUSES:
        close(agent_id, fields, None)
    else:
        take_running([(agent_id, fields)])


def check(agent_id: str, protocol_id: str, principal: Principal) -> None:
    """Raises Forbidden, NotFound."""
    check_speaks_for(principal, agent_id)
    service.check_exists(agent_id)
    check_grant(principal, protocol_id)
    check_protocol(protocol_id)


def take_running(reports: list[tuple[str, dict[str, Any]]]) -> None:
    """Take reports of tasks that run, in one round trip. Raises redis.RedisError."""
    datas = [_event_data(agent_id, fields) for agent_id, fields in reports]
    offers = [coalescer.offer_of(fields["protocol_id"], data) for (_, fields), data in zip(reports, datas, strict=True)]
    for (agent_id, fields), data, accepted in zip(reports, datas, coalescer.offer(offers), strict=True):
        if accepted.is_new_task:
            store_start(agent_id, fields["protocol_id"], data, accepted.version)
    metrics.PROGRESS_ACCEPTED.labels("RUNNING").inc(len(reports))


def _event_data(agent_id: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The data of an agent:task_update, without its version."""
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


def store_start(agent_id: str, protocol_id: str, event_data: dict[str, Any], version: int) -> None:
    """Keep in the database that the agent turned to this task. The report is accepted even when this fails."""
    data = event_data | {"version": version}
    try:
        with transaction() as session:
            agent = _locked(session, agent_id)
            if _knows_newer(agent, data):
                return
            worklist.mark_started(session, agent_id, protocol_id, data["task"])
            _show(agent, protocol_id, data)
    except DomainError as error:
        logger.warning("task_start.not_stored", extra={"agentId": agent_id, "error": error.detail})


def close(agent_id: str, fields: dict[str, Any], part: int | None) -> None:
    """Store the end of a task, the start of the next one and the events that tell of both; then let them out.

    Versions are reserved before the agent's row is locked, since no transaction waits for Redis. Who finds that
    another one came between begins anew, so that versions have the order of the commits.
    Raises FirstAnswer: it was closed before, by this Idempotency-Key.
    """
    for last in (*[False] * CLOSING_TRIES, True):
        reserved = coalescer.reserve(agent_id)
        if reserved.waiting >= coalescer.MAX_WAITING_FINALS:
            raise TooManyRequests("This agent has 100 closing updates waiting; they leave one a second.")
        try:
            rooms = _store_closing(agent_id, fields, reserved, part, in_any_order=last)
        except _Overtaken:
            continue
        break
    metrics.PROGRESS_ACCEPTED.labels(fields["status"]).inc()
    for room in rooms:
        outbox.relay(room)


def _store_closing(
    agent_id: str, fields: dict[str, Any], reserved: coalescer.Reservation, part: int | None, *, in_any_order: bool
) -> list[str]:
    """Answers the protocols whose rooms are to be told."""
    with transaction() as session:
        claim(session, part)
        agent = _locked(session, agent_id)
        if _knows_newer(agent, {"version": reserved.closing}) and not in_any_order:
            raise _Overtaken
        worklist.mark_closed(session, agent_id, fields)
        events = _closing_events(session, agent_id, fields, reserved)
        _show(agent, *events[-1])
        for room, event in sorted(events, key=itemgetter(0)):  # one order of locks for everybody
            outbox.append(session, room, EventType.AGENT_TASK_UPDATE, event)
        keep(session, {"accepted": 1}, part)
    return list(dict.fromkeys(room for room, _ in events))


def _closing_events(
    session: Session, agent_id: str, fields: dict[str, Any], reserved: coalescer.Reservation
) -> list[tuple[str, dict[str, Any]]]:
    """The end of the task and, where the agent moves on, the start of the next one, each with its protocol."""
    protocol_id = fields["protocol_id"]
    following = worklist.next_task(session, agent_id, fields) if fields["status"] == "COMPLETED" else None
    data = _event_data(agent_id, fields) | {"version": reserved.closing}
    if following is None:
        return [(protocol_id, data)]
    if following.protocol_id == protocol_id:
        data["nextTask"] = following.name
    worklist.mark_started(session, agent_id, following.protocol_id, following.name)
    return [(protocol_id, data), (following.protocol_id, _starting(agent_id, following.name, reserved.starting))]


def _starting(agent_id: str, task: str, version: int) -> dict[str, Any]:
    start = {"task": task, "progress": 0, "status": "RUNNING", "estimated_completion": None, "error": None}
    return _event_data(agent_id, start | {"next_task": None}) | {"version": version}


def _locked(session: Session, agent_id: str) -> Agent:
    return session.scalars(select(Agent).where(Agent.id == agent_id).with_for_update()).one()


def _knows_newer(agent: Agent, data: dict[str, Any]) -> bool:
    return agent.task_data is not None and int(agent.task_data["version"]) >= data["version"]


def _show(agent: Agent, protocol_id: str, data: dict[str, Any]) -> None:
    if not _knows_newer(agent, data):
        agent.task_protocol_id, agent.task_data = protocol_id, to_wire(data)
