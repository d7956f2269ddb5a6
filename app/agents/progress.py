"""Accepts progress reports: RUNNING ones go to the coalescer, terminal updates are stored before the response.

A request stores everything (ended and started tasks, their events, its Idempotency-Key) in one transaction, however
many reports it has. Redis is written after the commit.
"""

import threading
from contextlib import nullcontext
from operator import itemgetter
from typing import Any

import redis
from marshmallow import ValidationError

from app.agents import service, task_changes
from app.agents.reported import last_seen_us
from app.agents.schemas import BatchUpdate
from app.agents.task_changes import Failure, Respond, Update, event_data
from app.auth.authorization import check_acts_for_itself, check_grant
from app.auth.tokens import Principal
from app.core.errors import DomainError
from app.core.values import to_json
from app.http.idempotency import StoredResponse, is_keyed
from app.http.problems import flatten_messages
from app.observability import metrics
from app.protocols.service import check_exists as check_protocol
from app.realtime import emitter, limiter, outbox
from app.realtime.limiter import RunningReport, Taken

LARGE_REQUEST = 20
_large_requests = threading.Lock()  # large requests take turns, so that small ones are stored between them
_schema = BatchUpdate()


def report(agent_id: str, fields: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """Accept one report. Raises NotFound, Forbidden, TooManyRequests, redis.RedisError."""
    _check(agent_id, fields["protocol_id"], caller)
    return _accept([Update(0, agent_id, fields)], [], caller)


def report_batch(updates: list[Any], caller: Principal) -> dict[str, Any]:
    """Accept the valid reports of a batch; the response lists the errors of the others by index.

    Raises the first error if every valid report failed transiently (a full queue, an unavailable dependency).
    """
    valid, rejected = [], []
    for index, raw in enumerate(updates):
        try:
            fields = _schema.load(raw)
            agent_id = fields.pop("agent_id")
            _check(agent_id, fields["protocol_id"], caller)
        except ValidationError as error:
            rejected.append({"index": index, "errors": flatten_messages(error.messages_dict)})
        except DomainError as error:
            field = "protocolId" if error.code == "PROTOCOL_NOT_FOUND" else "agentId"
            rejected.append({"index": index, "errors": {field: [error.detail]}})
        else:
            valid.append(Update(index, agent_id, fields))
    return _accept(valid, rejected, caller)


def _check(agent_id: str, protocol_id: str, caller: Principal) -> None:
    """Raises Forbidden, NotFound."""
    check_acts_for_itself(caller, agent_id)
    service.check_exists(agent_id)
    check_grant(caller, protocol_id)
    check_protocol(protocol_id)


def _accept(updates: list[Update], rejected: list[dict[str, Any]], caller: Principal) -> dict[str, Any]:
    """Accept the valid updates of one request.

    Raises StoredResponse, Conflict; redis.RedisError and TooManyRequests if no update was accepted.
    """
    terminal, running = _merge(updates)

    def respond(failed: list[Failure]) -> dict[str, Any]:
        failures = [{"index": position, "errors": {"status": [detail]}} for position, detail in failed]
        ordered = sorted([*rejected, *failures], key=itemgetter("index"))
        return {"accepted": len(updates) - len(failed), "rejected": ordered}

    if terminal or is_keyed():
        response = _store_and_submit(terminal, running, respond, caller)
    else:
        taken = _submit(running)
        task_changes.store_starts(taken.starts, caller)
        response = respond(_failures(running, taken))
    metrics.PROGRESS_ACCEPTED.labels("RUNNING").inc(len(updates) - len(terminal))
    return response


def _merge(updates: list[Update]) -> tuple[list[Update], list[Update]]:
    """The terminal updates in order, and each agent's newest RUNNING update if no terminal one follows it.

    Dropping the other RUNNING updates loses nothing (contract, delivery rule 3).
    """
    terminal: list[Update] = []
    running: dict[str, Update] = {}
    for update in updates:
        if update.fields["status"] in limiter.TERMINAL_STATUSES:
            terminal.append(update)
            running.pop(update.agent_id, None)
        else:
            running[update.agent_id] = update
    return terminal, list(running.values())


def _store_and_submit(
    terminal: list[Update], running: list[Update], respond: Respond, caller: Principal
) -> dict[str, Any]:
    """Store first, then send the stored events and the RUNNING updates to their rooms.

    If Redis fails after the commit of a request with an Idempotency-Key, the error is raised: a repetition finishes
    the request.
    """
    try:
        with _large_requests if len(terminal) >= LARGE_REQUEST else nullcontext():
            stored = task_changes.store(terminal, running, respond)
    except StoredResponse as first:
        _submit_all(_unsubmitted(running, first.resume))
        raise
    task_changes.charge(caller, stored.task_count)
    for update in stored.terminal:
        metrics.PROGRESS_ACCEPTED.labels(update.fields["status"]).inc()
    for protocol_id in stored.protocol_ids:
        outbox.relay(protocol_id)
    try:
        stored.failed += _failures(running, (_submit_all if is_keyed() else _submit)(running))
    except redis.RedisError as error:
        if is_keyed():
            raise
        stored.failed += _failures(running, Taken(failed={update.agent_id: error for update in running}))
    return respond(stored.failed)


def _unsubmitted(running: list[Update], versions: dict[str, int]) -> list[Update]:
    """The RUNNING updates of a repeated request that never reached Redis and are still the newest of their agents."""
    candidates = [update for update in running if str(update.position) in versions]
    seen = last_seen_us([update.agent_id for update in candidates]) if candidates else []
    return [
        update
        for update, seen_us in zip(candidates, seen, strict=True)
        if seen_us is None or seen_us <= versions[str(update.position)]
    ]


def _submit_all(running: list[Update]) -> Taken:
    """As `_submit`. Raises redis.RedisError if any was not taken."""
    taken = _submit(running)
    for error in taken.failed.values():
        raise error
    return taken


def _failures(running: list[Update], taken: Taken) -> list[Failure]:
    return [(update.position, "Redis did not answer.") for update in running if update.agent_id in taken.failed]


def _submit(running: list[Update]) -> Taken:
    """Send RUNNING updates to the coalescer. Raises redis.RedisError if none was taken."""
    reports = [
        RunningReport(agent_id, fields["protocol_id"], fields["task"], to_json(event_data(agent_id, fields))[:-1])
        for _, agent_id, fields, _ in running
    ]
    return emitter.report(reports) if reports else Taken()
