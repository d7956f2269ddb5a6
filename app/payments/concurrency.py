"""How many payments of one protocol are settled at a time, and which come next: no protocol takes all workers.

At most two payments of a protocol are with the payout service at a time, and at most one of them was tried before.
So a protocol whose calls hang leaves workers to the others, and a payment that hangs leaves room to its protocol.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from app.database import utc_now
from app.extensions import db
from app.payments.models import IS_UNSETTLED, Payment
from app.payments.rules import PaymentStatus

CALLS_PER_PROTOCOL = 2


def lock_protocol(session: Session, payment_id: str) -> None:
    """Let no other transaction lease a payment of the same protocol until this one ends; SQLite has one writer."""
    if session.get_bind().dialect.name == "postgresql":
        lock = func.pg_advisory_xact_lock(func.hashtext(Payment.protocol_id))
        session.execute(select(lock).where(Payment.id == payment_id))


def has_room(now: datetime) -> ColumnElement[bool]:
    """A condition on a payment that is to be leased: its protocol has a call to spare for it."""
    running = aliased(Payment)
    calls = (
        select(func.count())
        .select_from(running)
        .where(IS_UNSETTLED, running.status == PaymentStatus.PROCESSING.value, running.due_at > now)
        .where(running.protocol_id == Payment.protocol_id)
        .correlate(Payment)
    )
    is_first_attempt = Payment.attempts == 0
    no_other_retry = calls.where(running.attempts > 1).scalar_subquery() == 0
    return and_(calls.scalar_subquery() < CALLS_PER_PROTOCOL, or_(is_first_attempt, no_other_retry))


def next_due(protocol_id: str) -> str | None:
    """The payment of the protocol that has waited longest of those that can be leased now."""
    due = _due(utc_now()).where(Payment.protocol_id == protocol_id, has_room(utc_now()))
    payment_id = db.session.scalar(due.with_only_columns(Payment.id).order_by(Payment.due_at).limit(1))
    db.session.rollback()
    return payment_id


def due_payments(before: datetime, limit: int) -> list[str]:
    """Payments that were due before that moment, as many of each protocol as can be leased at a time.

    Each protocol's first comes before any protocol's second; those that were tried before are counted apart.
    """
    peers = (Payment.protocol_id, Payment.attempts > 0)
    place = func.row_number().over(partition_by=peers, order_by=Payment.due_at)
    ranked = _due(before).with_only_columns(Payment.id, Payment.due_at, place.label("place")).subquery()
    query = select(ranked.c.id).where(ranked.c.place <= CALLS_PER_PROTOCOL)
    payment_ids = list(db.session.scalars(query.order_by(ranked.c.place, ranked.c.due_at).limit(limit)))
    db.session.rollback()
    return payment_ids


def _due(before: datetime) -> "Select[Payment]":
    return select(Payment).where(IS_UNSETTLED, Payment.due_at <= before)
