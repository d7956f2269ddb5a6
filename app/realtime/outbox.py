"""The outbox: an event's row commits with the change it describes; after the commit the relay emits it into its room.

At least once from database to room. Rows of one protocol are numbered under its counter's row lock, so their order is
the order of commits. The limiter recognizes repeated events by their identity, not by their position, because a
database restored from an older copy gives the same positions to other events.
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

from app.core.concurrency import keyed_lock
from app.core.database import database_now, delete_in_batches, transaction
from app.core.errors import DependencyUnavailable
from app.core.extensions import db, redis_client, redis_health
from app.core.values import to_json
from app.observability.requests import current_request_id, on_behalf_of
from app.realtime import coalescer, emitter, limiter
from app.realtime.events import EventType
from app.realtime.models import EventCounter, OutboxEvent
from app.realtime.redis_keys import COMPARED_KEY, position_key

logger = logging.getLogger(__name__)

BATCH = 200
MAX_BATCHES = 5
PROTOCOLS_PER_SWEEP = 200
PROTOCOLS_PER_COMPARISON = 1000
RETENTION = timedelta(days=7)


# Every change of money runs these statements; built once and on tables, they cost a quarter of ORM statements.
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
    """Add an event to the caller's transaction; call it late: it locks the protocol's counter until the commit."""
    append_all(session, protocol_id, event_type, [data])


def append_all(session: Session, protocol_id: str, event_type: EventType, datas: list[dict[str, Any]]) -> None:
    """Add several events of one protocol, in their order."""
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
    """Emit the protocol's stored events into its room, in order, and mark them; returns how many it marked.

    Includes events that others have stored meanwhile, since they wait for this relay at most a second. Stops at the
    first event that Redis does not take; the sweep tries again. Never raises for a dependency that is down, because the
    caller's change is committed.
    """
    relayed = 0
    try:
        with keyed_lock(protocol_id) as is_acquired:
            for _ in range(MAX_BATCHES if is_acquired else 0):
                batch = _relay_batch(protocol_id)
                relayed += batch
                if batch < BATCH:
                    break
            return relayed
    except (SQLAlchemyError, DependencyUnavailable) as error:
        logger.warning("outbox.relay_failed", extra={"protocolId": protocol_id, "error": str(error)})
        return relayed


def _relay_batch(protocol_id: str) -> int:
    emitted: list[Any] = []
    rows = _unpublished(protocol_id)
    if rows and not redis_health().is_available():
        _log_failure(protocol_id, rows[0], "Redis does not answer")
        return 0
    for row in rows:
        with on_behalf_of(row.request_id):
            if not _emit(protocol_id, row):
                break
        emitted.append(row)
    marked = _mark([row.id for row in emitted])
    for row in emitted:
        if row.id in marked:  # otherwise a concurrent relay has marked and logged it
            with on_behalf_of(row.request_id):
                logger.info("event.relayed", extra={"protocolId": protocol_id, "eventType": row.event_type})
    return len(marked)


def sweep() -> int:
    """Relay the events that a crash or an outage left unpublished, for up to 200 protocols."""
    waiting = (
        select(OutboxEvent.protocol_id)
        .where(OutboxEvent.published_at.is_(None))
        .group_by(OutboxEvent.protocol_id)
        .order_by(func.min(OutboxEvent.id))
        .limit(PROTOCOLS_PER_SWEEP)
    )
    protocol_ids = list(db.session.scalars(waiting))
    db.session.rollback()
    return sum(relay(protocol_id) for protocol_id in protocol_ids)


def compare_positions() -> int:
    """Rewind rooms whose position is ahead of the database's, as after a restore; returns how many.

    Each call compares the next thousand protocols. Raises redis.RedisError.
    """
    client = redis_client()
    after = cast(bytes, client.get(COMPARED_KEY) or b"").decode()
    page = select(EventCounter.protocol_id).where(EventCounter.protocol_id > after).order_by(EventCounter.protocol_id)
    protocol_ids = list(db.session.scalars(page.limit(PROTOCOLS_PER_COMPARISON)))
    db.session.rollback()
    client.set(COMPARED_KEY, protocol_ids[-1] if len(protocol_ids) == PROTOCOLS_PER_COMPARISON else "")
    in_redis: list[Any] = client.mget(map(position_key, protocol_ids)) if protocol_ids else []
    counters = select(EventCounter.protocol_id, EventCounter.position)  # read after Redis, so that none is too old
    rows = db.session.execute(counters.where(EventCounter.protocol_id.in_(protocol_ids)))
    stored = {row.protocol_id: row.position for row in rows}
    db.session.rollback()
    ahead = [each for each, position in zip(protocol_ids, in_redis, strict=True) if int(position or 0) > stored[each]]
    for protocol_id in ahead:
        emitter.rewind(protocol_id, stored[protocol_id])
    return len(ahead)


def _unpublished(protocol_id: str) -> list[Any]:
    rows = list(db.session.execute(_UNPUBLISHED, {"protocol": protocol_id}))
    db.session.expunge_all()  # the caller's objects stay as its own change left them
    db.session.rollback()
    return rows


def _emit(protocol_id: str, row: Any) -> bool:
    stored = limiter.StoredEvent(row.position, _identity(row))
    if row.event_type != EventType.AGENT_TASK_UPDATE:
        return emitter.emit(protocol_id, row.event_type, row.data_json, stored)
    try:
        event = (protocol_id, stored, json.loads(row.data_json), row.data_json)
        if not coalescer.add_stored(*event):
            emitter.rewind(protocol_id, stored.position - 1)
            coalescer.add_stored(*event)
    except redis.RedisError as error:
        _log_failure(protocol_id, row, str(error))
        return False
    return True


def _identity(row: Any) -> str:
    """A hash that differs between events, also between those with one id and position in two copies of a database."""
    values = (row.id, row.position, row.created_at.isoformat(), row.request_id, row.event_type, row.data_json)
    return hashlib.sha256("\n".join(map(str, values)).encode()).hexdigest()[:16]


def _log_failure(protocol_id: str, row: Any, error: str) -> None:
    with on_behalf_of(row.request_id):
        emitter.log_emission_failure(protocol_id, row.event_type, row.data_json, error)


def _mark(ids: list[int]) -> set[int]:
    """Mark these events as published; returns the ids that were not marked before."""
    if not ids:
        return set()
    with transaction() as session:
        return set(session.scalars(_MARK, {"ids": ids}))


def delete_published(deadline: float) -> int:
    """Delete events published a week ago, until the monotonic `deadline`; returns how many."""
    published_before = database_now(-RETENTION.total_seconds())
    return delete_in_batches(OutboxEvent, OutboxEvent.published_at < published_before, deadline)
