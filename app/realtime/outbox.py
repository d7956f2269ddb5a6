"""The outbox: an event's row commits with the change it describes; after the commit the relay emits it into its room.

At least once from database to room. Rows of one protocol are numbered under its counter's row lock, so their order is
the order of commits. The limiter recognizes repeated events by their identity, not by their position, because a
database restored from an older copy gives the same positions to other events.

A relay emits the rows that its caller has just stored, and reads the outbox only if others of the protocol have to
leave before them. Emitted rows are marked as published in the background, those of a moment together. The sweep emits
a row whose mark was lost again, which changes nothing.
"""

import hashlib
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from types import SimpleNamespace
from typing import Any, cast

import redis
import sqlalchemy as sa
from flask import Flask, current_app
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.core.concurrency import keyed_lock
from app.core.database import delete_in_batches, transaction
from app.core.errors import DependencyUnavailable
from app.core.extensions import Base, db, redis_health
from app.core.final_writes import Counter, Write, write_before_commit
from app.core.sql_types import UtcDateTime, database_now
from app.core.values import to_json
from app.observability.requests import current_request_id, on_behalf_of
from app.realtime import emitter, limiter
from app.realtime.emitted_events import EmittedEvents
from app.realtime.events import EventType
from app.realtime.redis_keys import room_key, slot_of_key

logger = logging.getLogger(__name__)

BATCH = 200
MAX_BATCHES = 5
PROTOCOLS_PER_SWEEP = 200
RETENTION = timedelta(days=7)
STORED_EVENTS = "stored_events"  # the key in `session.info`
_UNSENT = sa.text("published_at IS NULL")


class EventCounter(Base):
    """The position of the newest stored event of a protocol."""

    __tablename__ = "event_counters"

    protocol_id: Mapped[str] = mapped_column(sa.ForeignKey("protocols.id"), primary_key=True)
    position: Mapped[int] = mapped_column(sa.BigInteger, default=0)


class OutboxEvent(Base):
    """A stored event; `published_at` is empty until the relay has emitted it into its room."""

    __tablename__ = "outbox_events"
    __table_args__ = (
        sa.Index("uq_outbox_position", "protocol_id", "position", unique=True),
        sa.Index("ix_outbox_unpublished", "protocol_id", "position", sqlite_where=_UNSENT, postgresql_where=_UNSENT),
        sa.Index("ix_outbox_published_at", "published_at"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    protocol_id: Mapped[str] = mapped_column(sa.ForeignKey("protocols.id"))
    position: Mapped[int] = mapped_column(sa.BigInteger)
    event_type: Mapped[str]
    data_json: Mapped[str] = mapped_column(sa.Text)
    request_id: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=database_now())
    published_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


# Every change of money runs these statements; built once and on tables, they cost a quarter of ORM statements.
_counters, _outbox = cast(sa.Table, EventCounter.__table__), cast(sa.Table, OutboxEvent.__table__)
_events = _outbox.c
_POSITIONS = Counter(_counters, "protocol_id", "position")
_UNPUBLISHED = (
    sa.select(_outbox)
    .where(_events.protocol_id == sa.bindparam("protocol"), _events.published_at.is_(None))
    .where(_events.position > sa.bindparam("after"))
    .order_by(_events.position)
    .limit(BATCH)
)
_MARK = (
    sa.update(_outbox)
    .where(_events.id.in_(sa.bindparam("ids", expanding=True)), _events.published_at.is_(None))
    .values(published_at=database_now())
)


def init_app(app: Flask) -> None:
    app.extensions["outbox"] = EmittedEvents(app, _mark)


def _mark(ids: list[int]) -> None:
    try:
        with transaction() as session:
            session.execute(_MARK, {"ids": ids})
    except (SQLAlchemyError, DependencyUnavailable) as error:  # the sweep emits them again, without effect
        logger.warning("outbox.mark_failed", extra={"events": len(ids), "error": str(error)})


def append(session: Session, protocol_id: str, event_type: EventType, *datas: dict[str, Any]) -> None:
    """Add events to the caller's transaction, which numbers them, and so locks the protocol's counter, at its end."""
    common = {"protocol_id": protocol_id, "event_type": event_type, "request_id": current_request_id()}
    events = [common | {"data_json": to_json(data)} for data in datas]
    write = Write(_outbox, events, returning=("id", "position", "created_at"), counter=_POSITIONS)
    write_before_commit(session, write)
    session.info.setdefault(STORED_EVENTS, {}).setdefault(protocol_id, []).append(write)


def _stored_rows(protocol_id: str) -> list[Any]:
    """The rows that the caller's transaction has stored, in order."""
    rows: list[Any] = []
    for write in db.session.info.get(STORED_EVENTS, {}).pop(protocol_id, []):
        made = sorted(write.returned, key=itemgetter("position"))
        rows += [SimpleNamespace(**event, **values) for event, values in zip(write.rows, made, strict=True)]
    return rows


def relay(protocol_id: str) -> int:
    """Emit the protocol's stored events into its room, in order; returns how many.

    Includes events that others have stored meanwhile, since they wait for this relay at most a second. Stops at the
    first event that Redis does not take; the sweep tries again. An outage is logged: the caller has committed.
    """
    stored = _stored_rows(protocol_id)
    try:
        with keyed_lock(protocol_id) as is_acquired:
            if not is_acquired or (stored and stored[-1].id in _emitted().awaiting_mark):
                return 0  # another relay emits them, or has done so
            before = stored[0].position - 1 if stored else 0
            position = _emitted().positions.get(protocol_id) or 0
            if position < before:
                position = _position_in_redis(protocol_id)
            if stored and position == before:
                return _emit_rows(protocol_id, stored)
            return _relay_unpublished(protocol_id, after=min(position, before))
    except (SQLAlchemyError, DependencyUnavailable) as error:
        logger.warning("outbox.relay_failed", extra={"protocolId": protocol_id, "error": str(error)})
        return 0


def _position_in_redis(protocol_id: str) -> int:
    """The position of the last stored event that the room has taken, from any process; 0 if Redis fails."""
    key = room_key(protocol_id, "state")
    try:
        answers = _redis_answers(protocol_id)
        taken = emitter.rooms_redis().call(slot_of_key(key), "HGET", key, "outbox") if answers else None
    except redis.RedisError:
        taken = None
    return int(taken or 0)


def _relay_unpublished(protocol_id: str, after: int) -> int:
    """Emit what is stored beyond a position and not marked, except what this process has emitted; returns how many."""
    relayed = 0
    for _ in range(MAX_BATCHES):
        known = _emitted().awaiting_mark  # before the rows are read: a mark may come meanwhile
        rows = list(db.session.execute(_UNPUBLISHED, {"protocol": protocol_id, "after": after}))
        db.session.expunge_all()  # the caller's objects stay as its own change left them
        db.session.rollback()
        new = [row for row in rows if row.id not in known]
        emitted = _emit_rows(protocol_id, new)
        relayed += emitted
        if emitted < len(new) or len(rows) < BATCH:
            break
        after = rows[-1].position
    return relayed


def _emit_rows(protocol_id: str, rows: Sequence[Any]) -> int:
    """Emit them in order until one fails; returns how many were emitted."""
    if rows and not _redis_answers(protocol_id):
        first = rows[0]
        with on_behalf_of(first.request_id):
            emitter.log_emission_failure(protocol_id, first.event_type, first.data_json, "Redis does not answer")
        return 0
    count = 0
    for row in rows:
        with on_behalf_of(row.request_id):
            if not _emit(protocol_id, row):
                break
            logger.info("event.relayed", extra={"protocolId": protocol_id, "eventType": row.event_type})
        count += 1
    _emitted().add(rows[:count])
    return count


def _emitted() -> EmittedEvents:
    return cast(EmittedEvents, current_app.extensions["outbox"])


def _redis_answers(protocol_id: str) -> bool:
    """A connection on which the last call was answered needs no ping; one that hangs is closed after a second."""
    slot = slot_of_key(room_key(protocol_id, "state"))
    return emitter.rooms_redis().is_connected(slot) or redis_health().is_available()


def _emit(protocol_id: str, row: Any) -> bool:
    """The identity differs also between events with one id and position in two copies of a database."""
    values = (row.id, row.position, row.created_at.isoformat(), row.request_id, row.event_type, row.data_json)
    identity = hashlib.sha256("\n".join(map(str, values)).encode()).hexdigest()[:16]
    return emitter.emit(protocol_id, row.event_type, row.data_json, limiter.StoredEvent(row.position, identity))


def sweep() -> int:
    """Relay the events that a crash or an outage left unpublished, for up to 200 protocols."""
    waiting = (
        sa.select(OutboxEvent.protocol_id)
        .where(OutboxEvent.published_at.is_(None))
        .group_by(OutboxEvent.protocol_id)
        .order_by(sa.func.min(OutboxEvent.id))
        .limit(PROTOCOLS_PER_SWEEP)
    )
    protocol_ids = list(db.session.scalars(waiting))
    db.session.rollback()
    return sum(relay(protocol_id) for protocol_id in protocol_ids)


def delete_published(deadline: float, *conditions: sa.ColumnElement[bool]) -> int:
    """Delete events published a week ago that meet the conditions, until the monotonic `deadline`; returns how many."""
    is_old = OutboxEvent.published_at < database_now(-RETENTION.total_seconds())
    return delete_in_batches(OutboxEvent, sa.and_(is_old, *conditions), deadline)
