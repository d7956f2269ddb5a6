"""Progress reports: RUNNING ones go to the coalescer, COMPLETED and FAILED are stored before the answer.

Whatever a request stores (closed tasks, started ones, their events, its Idempotency-Key) commits in one transaction,
however many reports it has. What goes to Redis alone follows the commit.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.agents import service
from app.agents.last_seen import last_heard
from app.agents.models import Agent
from app.agents.task_queue import Worklists
from app.auth.authorization import check_acts_for_itself, check_grant, principal, rate_limit_key
from app.auth.tokens import Principal
from app.core.database import transaction
from app.core.errors import DomainError, TooManyRequests
from app.core.extensions import redis_client
from app.core.serialization import to_wire
from app.http.idempotency import StoredResponse, claim_key, is_keyed, store_response
from app.http.rate_limits import charge_token
from app.observability import metrics
from app.protocols.service import check_exists as check_protocol
from app.realtime import coalescer, outbox
from app.realtime.events import EventType

logger = logging.getLogger(__name__)

CLOSING_TRIES = 10
LARGE = 20
_large_requests = threading.Lock()  # one after the other, so that small ones have their turns between them


class Update(NamedTuple):
    """A valid report and its place in the request."""

    place: int
    agent_id: str
    fields: dict[str, Any]


class Start(NamedTuple):
    """A RUNNING report by which an agent turned to another task, with the version that Redis gave it."""

    agent_id: str
    protocol_id: str
    data: dict[str, Any]
    version: int


Failure = tuple[int, DomainError | redis.RedisError]
Answer = Callable[[list[Failure]], dict[str, Any]]
Stored = tuple[Update, coalescer.TaskVersions]


class _Overtaken(Exception):
    """Another request stored a change of the agent between the reservation of a version and the lock on the agent."""


@dataclass(frozen=True)
class _Plan:
    """What a request will store; `failed` are the reports that cannot be taken now."""

    closings: list[Stored]
    running: list[Stored]
    failed: list[Failure]

    @property
    def reports(self) -> list[tuple[str, dict[str, Any]]]:
        return [(update.agent_id, update.fields) for update, _ in (*self.closings, *self.running)]


def report(agent_id: str, fields: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """Accept one report. Raises NotFound, Forbidden, TooManyRequests, redis.RedisError."""
    check(agent_id, fields["protocol_id"], caller)
    return take([Update(0, agent_id, fields)], lambda _failed: {"accepted": 1})


def check(agent_id: str, protocol_id: str, caller: Principal) -> None:
    """Raises Forbidden, NotFound."""
    check_acts_for_itself(caller, agent_id)
    service.check_exists(agent_id)
    check_grant(caller, protocol_id)
    check_protocol(protocol_id)


def take(updates: list[Update], answer: Answer) -> dict[str, Any]:
    """Take the valid reports of one request; `answer` makes the response from those that could not be taken.

    Of an agent's RUNNING reports between two closing ones only the newest counts, and none that a closing one follows:
    merging them is no loss (contract, delivery rule 3).
    Raises StoredResponse, Conflict; redis.RedisError and TooManyRequests when nothing was taken.
    """
    closings, running = _merged(updates)
    if closings or is_keyed():
        result = _take_stored(closings, running, answer)
    else:
        _charge(_store_starts_of(running) - 1)
        result = answer([])
    metrics.PROGRESS_ACCEPTED.labels("RUNNING").inc(len(updates) - len(closings))
    return result


def _merged(updates: list[Update]) -> tuple[list[Update], list[Update]]:
    """The closing reports, in order, and each agent's RUNNING report after its last closing one."""
    closings: list[Update] = []
    running: dict[str, Update] = {}
    for update in updates:
        if update.fields["status"] in coalescer.TERMINAL_STATUSES:
            closings.append(update)
            running.pop(update.agent_id, None)
        else:
            running[update.agent_id] = update
    return closings, list(running.values())


def _take_stored(closings: list[Update], running: list[Update], answer: Answer) -> dict[str, Any]:
    """Store first, then let the events and the RUNNING reports into their rooms.

    When Redis fails after the commit of a request with a key, it is raised: the repetition finishes the request.
    """
    try:
        with _large_requests if len(closings) >= LARGE else nullcontext():
            plan, rooms, changes = _store(closings, running, answer)
    except StoredResponse as first:
        _offer(_not_offered(running, first.resume))
        raise
    _charge(changes - 1)
    for update, _ in plan.closings:
        metrics.PROGRESS_ACCEPTED.labels(update.fields["status"]).inc()
    for room in rooms:
        outbox.relay(room)
    failed = list(plan.failed)
    try:
        _offer(running)
    except redis.RedisError as error:
        if is_keyed():
            raise
        failed += [(update.place, error) for update in running]
    return answer(failed)


def _store(closings: list[Update], running: list[Update], answer: Answer) -> tuple[_Plan, list[str], int]:
    """Store a request's reports; returns what was stored, the protocols whose rooms are to be told, and the changes.

    Versions are reserved before the agents' rows are locked, since no transaction waits for Redis. A request that
    finds that another one came between begins anew, so that versions have the order of the commits.
    """
    for last in (*[False] * CLOSING_TRIES, True):
        plan = _reserved(closings, running)
        try:
            with transaction() as session:
                claim_key(session)
                rooms, changes = _write(session, plan, in_any_order=last)
                resume = {str(update.place): reserved.next_task for update, reserved in plan.running}
                store_response(session, answer(plan.failed), resume or None)
        except _Overtaken:
            continue
        break
    return plan, rooms, changes


def _reserved(closings: list[Update], running: list[Update]) -> _Plan:
    """Raises TooManyRequests when no report can be taken, redis.RedisError."""
    updates = [*closings, *running]
    reserved = coalescer.allocate_versions([update.agent_id for update in updates]) if updates else []
    stored: list[Stored] = []
    failed: list[Failure] = []
    waiting: dict[str, int] = {}
    for update, each in zip(closings, reserved[: len(closings)], strict=True):
        before = waiting.get(update.agent_id, each.pending_terminal)
        if before >= coalescer.MAX_PENDING_TERMINAL:
            text = "This agent has 100 closing updates waiting; they leave one a second."
            failed.append((update.place, TooManyRequests(text)))
        else:
            waiting[update.agent_id] = before + 1
            stored.append((update, each))
    if failed and len(failed) == len(updates):
        raise failed[0][1]
    return _Plan(stored, list(zip(running, reserved[len(closings) :], strict=True)), failed)


def _write(session: Session, plan: _Plan, *, in_any_order: bool) -> tuple[list[str], int]:
    """Returns the protocols whose rooms are to be told, and how many tasks were started or closed."""
    agents = _locked(session, {agent_id for agent_id, _ in plan.reports})
    if not in_any_order and any(_knows_newer(agents[each.agent_id], own.terminal) for each, own in plan.closings):
        raise _Overtaken
    lists = Worklists(session, plan.reports)
    events: dict[str, list[dict[str, Any]]] = {}
    for update, reserved in plan.closings:
        for protocol_id, data in _close(lists, update, reserved):
            _show(agents[update.agent_id], protocol_id, data)
            events.setdefault(protocol_id, []).append(data)
    for update, reserved in plan.running:
        data = _event_data(update.agent_id, update.fields)
        _start(lists, agents, Start(update.agent_id, update.fields["protocol_id"], data, reserved.terminal))
    lists.write()
    for room in sorted(events):  # one order of locks for everybody
        outbox.append_all(session, room, EventType.AGENT_TASK_UPDATE, events[room])
    return list(events), lists.changes


def _close(lists: Worklists, update: Update, reserved: coalescer.TaskVersions) -> list[tuple[str, dict[str, Any]]]:
    """Close the task and begin the next one, where there is one; returns the events of both, each with its protocol."""
    agent_id, fields = update.agent_id, update.fields
    protocol_id = fields["protocol_id"]
    lists.close(agent_id, fields)
    following = lists.next_task(agent_id, fields) if fields["status"] == "COMPLETED" else None
    data = _event_data(agent_id, fields) | {"version": reserved.terminal}
    if following is None:
        return [(protocol_id, data)]
    if following.protocol_id == protocol_id:
        data["nextTask"] = following.name
    lists.start(agent_id, following.protocol_id, following.name)
    return [(protocol_id, data), (following.protocol_id, _starting(agent_id, following.name, reserved.next_task))]


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


def _starting(agent_id: str, task: str, version: int) -> dict[str, Any]:
    start = {"task": task, "progress": 0, "status": "RUNNING", "estimated_completion": None, "error": None}
    return _event_data(agent_id, start | {"next_task": None}) | {"version": version}


def _not_offered(running: list[Update], versions: dict[str, int]) -> list[Update]:
    """The RUNNING reports of a repeated request that never reached Redis: nothing newer of their agents has either."""
    kept = [update for update in running if str(update.place) in versions]
    heard = last_heard(redis_client(), [update.agent_id for update in kept]) if kept else []
    return [each for each, at in zip(kept, heard, strict=True) if at is None or at <= versions[str(each.place)]]


def _offer(running: list[Update]) -> list[Start]:
    """Take reports of running tasks, in one round trip; returns those that began a task. Raises redis.RedisError."""
    if not running:
        return []
    datas = [_event_data(update.agent_id, update.fields) for update in running]
    places = [update.fields["protocol_id"] for update in running]
    accepted = coalescer.report(
        [coalescer.running_report(place, data) for place, data in zip(places, datas, strict=True)]
    )
    return [
        Start(update.agent_id, place, data, each.version)
        for update, place, data, each in zip(running, places, datas, accepted, strict=True)
        if each.is_new_task
    ]


def _store_starts_of(running: list[Update]) -> int:
    return store_starts(_offer(running))


def store_starts(starts: Sequence[Start]) -> int:
    """Keep in the database that agents turned to these tasks; returns how many rows that changed.

    The reports are accepted even when this fails.
    """
    if not starts:
        return 0
    try:
        with transaction() as session:
            agents = _locked(session, {start.agent_id for start in starts})
            lists = Worklists(
                session, [(each.agent_id, {"task": each.data["task"], "next_task": None}) for each in starts]
            )
            for start in starts:
                _start(lists, agents, start)
            lists.write()
    except DomainError as error:
        agent_ids = sorted({start.agent_id for start in starts})
        logger.warning("task_start.not_stored", extra={"agentIds": agent_ids, "error": error.detail})
        return 0
    return lists.changes


def _start(lists: Worklists, agents: dict[str, Agent], start: Start) -> None:
    """Unless a newer change of the agent is stored."""
    agent = agents[start.agent_id]
    if not _knows_newer(agent, start.version) and lists.start(agent.id, start.protocol_id, start.data["task"]):
        _show(agent, start.protocol_id, start.data | {"version": start.version})


def _charge(changes: int) -> None:
    """A request costs its token as many requests as it starts or closes tasks; the first one is paid already."""
    if changes > 0:
        charge_token(rate_limit_key(principal()), changes)


def _locked(session: Session, agent_ids: set[str]) -> dict[str, Agent]:
    query = select(Agent).where(Agent.id.in_(sorted(agent_ids))).order_by(Agent.id).with_for_update()
    return {agent.id: agent for agent in session.scalars(query)}


def _knows_newer(agent: Agent, version: int) -> bool:
    return agent.task_version is not None and agent.task_version >= version


def _show(agent: Agent, protocol_id: str, data: dict[str, Any]) -> None:
    if not _knows_newer(agent, data["version"]):
        agent.task_protocol_id, agent.task_data = protocol_id, to_wire(data)
        agent.task_status, agent.task_version = data["status"], data["version"]
