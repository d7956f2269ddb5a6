"""The outbox: the event row commits with the change it tells of; after the commit the relay lets it into its room.

At least once from database to room. Rows of one protocol are numbered under its counter's row lock,
so their order is the order of commits. The meter passes over what it has let in before by each event's own identity,
not by its position: a database restored from an older copy gives the same positions to other events.
"""

import hashlib
import json
import logging
from datetime import timedelta
from typing import Any, cast

import redis
from sqlalchemy import Table, bindparam, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.core import redis_health
from app.core.database import database_now, delete_in_batches, transaction
from app.core.errors import DependencyUnavailable
from app.core.extensions import db, redis_client
from app.core.keyed_lock import keyed_lock
from app.core.serialization import to_json
from app.observability import metrics
from app.observability.requests import current_request_id, on_behalf_of
from app.realtime import coalescer, emitter, limiter
from app.realtime.events import EventType
from app.realtime.models import EventCounter, OutboxEvent
from app.realtime.redis_keys import COMPARED_KEY, position_key, room_of

logger = logging.getLogger(__name__)

BATCH = 200
MAX_BATCHES = 5
SWEEP_PROTOCOLS = 200
COMPARED_PROTOCOLS = 1000
RETENTION = timedelta(days=7)


# Every change of money runs these: built once, and on the tables, they cost a quarter of what they would as objects.
_counters, _outbox = cast(Table, EventCounter.__table__), cast(Table, OutboxEvent.__table__)
_events = _outbox.c
_NEXT_POSITION = (
    update(_counters)
    .where(_counters.c.protocol_id == bindparam("protocol"))
    .values(position=_counters.c.position + bindparam("count"))
    .returning(_counters.c.position)
)
_ADD = insert(_outbox).values(created_at=database_now())
_UNPUBLISHED = (
    select(_events.id, _events.position, _events.event_type, _events.data_json, _events.request_id, _events.created_at)
    .where(_events.protocol_id == bindparam("protocol"), _events.published_at.is_(None))
    .order_by(_events.position)
    .limit(BATCH)
)
_MARK = (
    update(_outbox)
    .where(_events.id.in_(bindparam("ids", expanding=True)), _events.published_at.is_(None))
    .values(published_at=database_now())
    .returning(_events.id)
)


def append(session: Session, protocol_id: str, event_type: EventType, data: dict[str, Any]) -> None:
    """Add an event to the caller's transaction; call it late, it holds the protocol's counter until commit."""
    append_all(session, protocol_id, event_type, [data])


def append_all(session: Session, protocol_id: str, event_type: EventType, datas: list[dict[str, Any]]) -> None:
    """As `append`, for several events of one protocol in their order."""
    counted = {"protocol": protocol_id, "count": len(datas)}
    last = session.execute(_NEXT_POSITION, counted).scalar_one()
    events = [
        {
            "protocol_id": protocol_id,
            "position": position,
            "event_type": event_type,
            "data_json": to_json(data),
            "request_id": current_request_id(),
        }
        for position, data in enumerate(datas, last - len(datas) + 1)
    ]
    session.execute(_ADD, events)


def relay(protocol_id: str) -> int:
    """Let the protocol's stored events into its room, in order, and mark them; returns how many it marked.

    Goes on with what others have stored meanwhile, for they wait no longer than a second for their turn. Stops at the
    first that Redis does not take; the sweep tries again. Never raises for a dependency that is down: what the caller
    did is committed.
    """
    relayed = 0
    try:
        with keyed_lock(protocol_id) as is_mine:
            for _ in range(MAX_BATCHES if is_mine else 0):
                batch = _relay(protocol_id)
                relayed += batch
                if batch < BATCH:
                    break
            return relayed
    except (SQLAlchemyError, DependencyUnavailable) as error:
        logger.warning("outbox.relay_failed", extra={"protocolId": protocol_id, "error": str(error)})
        return relayed


def _relay(protocol_id: str) -> int:
    done: list[Any] = []
    rows = _unpublished(protocol_id)
    if rows and not redis_health.is_available():
        _tell_failure(protocol_id, rows[0], "Redis does not answer")
        return 0
    for row in rows:
        with on_behalf_of(row.request_id):
            if not _let_in(protocol_id, row):
                break
        done.append(row)
    marked = _mark([row.id for row in done])
    for row in done:
        if row.id in marked:  # else another relay, at the same moment, has marked and logged it
            with on_behalf_of(row.request_id):
                logger.info("event.relayed", extra={"protocolId": protocol_id, "eventType": row.event_type})
    return len(marked)


def sweep() -> int:
    """Relay what a crash or an outage left behind, for every protocol that has unpublished events."""
    waiting = (
        select(OutboxEvent.protocol_id)
        .where(OutboxEvent.published_at.is_(None))
        .group_by(OutboxEvent.protocol_id)
        .order_by(func.min(OutboxEvent.id))
        .limit(SWEEP_PROTOCOLS)
    )
    protocol_ids = list(db.session.scalars(waiting))
    db.session.rollback()
    return sum(relay(protocol_id) for protocol_id in protocol_ids)


def compare_positions() -> int:
    """Rewind rooms that were told more than the database holds, as after a restore; returns how many.

    The next thousand protocols at each call. Raises redis.RedisError.
    """
    client = redis_client()
    after = cast(bytes, client.get(COMPARED_KEY) or b"").decode()
    page = select(EventCounter.protocol_id).where(EventCounter.protocol_id > after).order_by(EventCounter.protocol_id)
    protocol_ids = list(db.session.scalars(page.limit(COMPARED_PROTOCOLS)))
    db.session.rollback()
    client.set(COMPARED_KEY, protocol_ids[-1] if len(protocol_ids) == COMPARED_PROTOCOLS else "")
    told: list[Any] = client.mget(map(position_key, protocol_ids)) if protocol_ids else []
    counters = select(EventCounter.protocol_id, EventCounter.position)  # read after Redis, so that none is too old
    rows = db.session.execute(counters.where(EventCounter.protocol_id.in_(protocol_ids)))
    held = {row.protocol_id: row.position for row in rows}
    db.session.rollback()
    ahead = [each for each, position in zip(protocol_ids, told, strict=True) if int(position or 0) > held[each]]
    for protocol_id in ahead:
        emitter.rewind(protocol_id, held[protocol_id])
    return len(ahead)


def _unpublished(protocol_id: str) -> list[Any]:
    rows = list(db.session.execute(_UNPUBLISHED, {"protocol": protocol_id}))
    db.session.expunge_all()  # what the caller answers with stays as its own change left it
    db.session.rollback()
    return rows


def _let_in(protocol_id: str, row: Any) -> bool:
    stored = limiter.StoredEvent(row.position, _identity(row))
    if row.event_type != EventType.AGENT_TASK_UPDATE:
        return emitter.emit(protocol_id, row.event_type, row.data_json, stored)
    try:
        event = (protocol_id, stored, json.loads(row.data_json), row.data_json)
        if not coalescer.add_stored(*event):
            emitter.rewind(protocol_id, stored.position - 1)
            coalescer.add_stored(*event)
    except redis.RedisError as error:
        _tell_failure(protocol_id, row, str(error))
        return False
    return True


def _identity(row: Any) -> str:
    """What tells this event from any other, also from one that had its id and position in another copy's future."""
    values = (row.id, row.position, row.created_at.isoformat(), row.request_id, row.event_type, row.data_json)
    return hashlib.sha256("\n".join(map(str, values)).encode()).hexdigest()[:16]


def _tell_failure(protocol_id: str, row: Any, error: str) -> None:
    metrics.EMISSION_FAILURES.labels(row.event_type).inc()
    whole = {"room": room_of(protocol_id), "eventType": row.event_type, "data": row.data_json, "error": error}
    with on_behalf_of(row.request_id):
        logger.error("event.emission_failed", extra=whole)


def _mark(ids: list[int]) -> set[int]:
    """Mark these events as published; returns those that were not marked before."""
    if not ids:
        return set()
    with transaction() as session:
        return set(session.scalars(_MARK, {"ids": ids}))


def delete_published(deadline: float) -> int:
    """Delete events published a week ago, until the monotonic `deadline`; returns how many."""
    published_before = database_now(-RETENTION.total_seconds())
    return delete_in_batches(OutboxEvent, OutboxEvent.published_at < published_before, deadline)
