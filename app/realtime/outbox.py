"""The outbox: an event's row commits with the change it describes; after the commit the relay emits it into its room.

At least once from database to room. Rows of one protocol are numbered under its counter's row lock, so their order is
the order of commits. The limiter recognizes repeated events by their identity, not by their position, because a
database restored from an older copy gives the same positions to other events.
"""

import hashlib
import logging
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.core.concurrency import keyed_lock
from app.core.database import UtcDateTime, database_now, delete_in_batches, transaction
from app.core.errors import DependencyUnavailable
from app.core.extensions import Base, db, redis_client, redis_health
from app.core.values import to_json
from app.observability.requests import current_request_id, on_behalf_of
from app.realtime import emitter, limiter
from app.realtime.events import EventType
from app.realtime.redis_keys import COMPARED_KEY, room_key, slot_of_key

logger = logging.getLogger(__name__)

BATCH = 200
MAX_BATCHES = 5
PROTOCOLS_PER_SWEEP = 200
PROTOCOLS_PER_COMPARISON = 1000
RETENTION = timedelta(days=7)
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
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    published_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


# Every change of money runs these statements; built once and on tables, they cost a quarter of ORM statements.
_counters, _outbox = cast(sa.Table, EventCounter.__table__), cast(sa.Table, OutboxEvent.__table__)
_events = _outbox.c
_NEXT_POSITION = (
    sa.update(_counters)
    .where(_counters.c.protocol_id == sa.bindparam("protocol"))
    .values(position=_counters.c.position + sa.bindparam("count"))
    .returning(_counters.c.position)
)
_ADD = sa.insert(_outbox).values(created_at=database_now())
_UNPUBLISHED = (
    sa.select(_outbox)
    .where(_events.protocol_id == sa.bindparam("protocol"), _events.published_at.is_(None))
    .order_by(_events.position)
    .limit(BATCH)
)
_MARK = (
    sa.update(_outbox)
    .where(_events.id.in_(sa.bindparam("ids", expanding=True)), _events.published_at.is_(None))
    .values(published_at=database_now())
    .returning(_events.id)
)


def append(session: Session, protocol_id: str, event_type: EventType, *datas: dict[str, Any]) -> None:
    """Add events to the caller's transaction; call it late: it locks the protocol's counter until the commit."""
    counted = {"protocol": protocol_id, "count": len(datas)}
    last = session.execute(_NEXT_POSITION, counted).scalar_one()
    common = {"protocol_id": protocol_id, "event_type": event_type, "request_id": current_request_id()}
    positions = range(last - len(datas) + 1, last + 1)
    events = [common | {"position": at, "data_json": to_json(data)} for at, data in zip(positions, datas, strict=True)]
    session.execute(_ADD, events)


def relay(protocol_id: str) -> int:
    """Emit the protocol's stored events into its room, in order, and mark them; returns how many it marked.

    Includes events that others have stored meanwhile, since they wait for this relay at most a second. Stops at the
    first event that Redis does not take; the sweep tries again. An outage is logged: the caller has committed.
    """
    relayed = 0
    try:
        with keyed_lock(protocol_id) as is_acquired:
            for _ in range(MAX_BATCHES if is_acquired else 0):
                batch = _relay_batch(protocol_id)
                relayed += batch
                if batch < BATCH:
                    break
    except (SQLAlchemyError, DependencyUnavailable) as error:
        logger.warning("outbox.relay_failed", extra={"protocolId": protocol_id, "error": str(error)})
    return relayed


def _relay_batch(protocol_id: str) -> int:
    emitted: dict[int, Any] = {}
    rows = list(db.session.execute(_UNPUBLISHED, {"protocol": protocol_id}))
    db.session.expunge_all()  # the caller's objects stay as its own change left them
    db.session.rollback()
    if rows and not redis_health().is_available():
        first = rows[0]
        with on_behalf_of(first.request_id):
            emitter.log_emission_failure(protocol_id, first.event_type, first.data_json, "Redis does not answer")
        return 0
    for row in rows:
        with on_behalf_of(row.request_id):
            if not _emit(protocol_id, row):
                break
        emitted[row.id] = row
    if not emitted:
        return 0
    with transaction() as session:
        marked = set(session.scalars(_MARK, {"ids": list(emitted)}))
    for row in emitted.values():
        if row.id in marked:  # otherwise a concurrent relay has marked and logged it
            with on_behalf_of(row.request_id):
                logger.info("event.relayed", extra={"protocolId": protocol_id, "eventType": row.event_type})
    return len(marked)


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


def compare_positions() -> int:
    """Rewind rooms whose position is ahead of the database's, as after a restore; returns how many.

    Each call compares the next thousand protocols. Raises redis.RedisError.
    """
    client = redis_client()
    after = cast(bytes, client.get(COMPARED_KEY) or b"").decode()
    page = sa.select(EventCounter.protocol_id).order_by(EventCounter.protocol_id).limit(PROTOCOLS_PER_COMPARISON)
    protocol_ids = list(db.session.scalars(page.where(EventCounter.protocol_id > after)))
    db.session.rollback()
    client.set(COMPARED_KEY, protocol_ids[-1] if len(protocol_ids) == PROTOCOLS_PER_COMPARISON else "")
    keys = [room_key(protocol_id, "state") for protocol_id in protocol_ids]
    calls = [(slot_of_key(key), ("HGET", key, "outbox")) for key in keys]
    in_redis = emitter.rooms_redis().execute(calls) if calls else []
    counters = sa.select(EventCounter.protocol_id, EventCounter.position)  # read after Redis, so that none is too old
    rows = db.session.execute(counters.where(EventCounter.protocol_id.in_(protocol_ids)))
    stored = {row.protocol_id: row.position for row in rows}
    db.session.rollback()
    known = [
        (each, position) for each, position in zip(protocol_ids, in_redis, strict=True) if isinstance(position, bytes)
    ]
    ahead = [each for each, position in known if int(position) > stored[each]]
    for protocol_id in ahead:
        emitter.record_outcome(limiter.rewind(protocol_id, stored[protocol_id]))
    return len(ahead)


def delete_published(deadline: float, *conditions: sa.ColumnElement[bool]) -> int:
    """Delete events published a week ago that meet the conditions, until the monotonic `deadline`; returns how many."""
    is_old = OutboxEvent.published_at < database_now(-RETENTION.total_seconds())
    return delete_in_batches(OutboxEvent, sa.and_(is_old, *conditions), deadline)
