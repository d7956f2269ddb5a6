"""How many payments of one protocol are settled at a time, and which come next: no protocol takes all workers.

At most two payments of a protocol are with the payout service at a time, and at most one of them was tried before.
So a protocol whose calls hang leaves workers to the others, and a payment that hangs leaves room to its protocol.
"""

from typing import Any

from sqlalchemy import ColumnElement, and_, func, not_, or_, select
from sqlalchemy.orm import Session, aliased

from app.core.database import database_now
from app.core.extensions import config, db
from app.payments import gateway
from app.payments.breaker import OPEN_SECONDS
from app.payments.models import IS_UNSETTLED, Payment
from app.payments.rules import PaymentStatus

CALLS_PER_PROTOCOL = 2
LEASE_SLACK_SECONDS = 3.0


def lease_seconds() -> float:
    """How long a worker may hold a payment before it counts as dead."""
    return gateway.longest_call(config()) + LEASE_SLACK_SECONDS


def is_due(payment: Any = Payment) -> ColumnElement[bool]:
    """By the database's clock; a time further away than any pause is from before that clock stepped back."""
    longest = max(lease_seconds(), config().payout_retry_cap, OPEN_SECONDS) + LEASE_SLACK_SECONDS
    return or_(payment.due_at <= database_now(), payment.due_at > database_now(longest))


def lock_protocol(session: Session, payment_id: str) -> None:
    """Let no other transaction lease a payment of the same protocol until this one ends; SQLite has one writer."""
    if session.get_bind().dialect.name == "postgresql":
        lock = func.pg_advisory_xact_lock(func.hashtext(Payment.protocol_id))
        session.execute(select(lock).where(Payment.id == payment_id))


def has_room() -> ColumnElement[bool]:
    """A condition on a payment that is to be leased: its protocol has a call to spare for it."""
    running = aliased(Payment)
    calls = (
        select(func.count())
        .select_from(running)
        .where(IS_UNSETTLED, running.status == PaymentStatus.PROCESSING.value, not_(is_due(running)))
        .where(running.protocol_id == Payment.protocol_id)
        .correlate(Payment)
    )
    is_first_attempt = Payment.attempts == 0
    no_other_retry = calls.where(running.attempts > 1).scalar_subquery() == 0
    return and_(calls.scalar_subquery() < CALLS_PER_PROTOCOL, or_(is_first_attempt, no_other_retry))


def next_due(protocol_id: str) -> str | None:
    """The payment of the protocol that has waited longest of those that can be leased now."""
    can_be_leased = and_(IS_UNSETTLED, or_(Payment.attempts == 0, is_due()), has_room())
    query = select(Payment.id).where(Payment.protocol_id == protocol_id, can_be_leased)
    payment_id = db.session.scalar(query.order_by(Payment.due_at, Payment.id).limit(1))
    db.session.rollback()
    return payment_id


def due_payments(grace_seconds: float, limit: int) -> list[str]:
    """Payments that are due, as many of each protocol as can be leased at a time; new ones after some seconds.

    Each protocol's first comes before any protocol's second; those that were tried before are counted apart.
    """
    waits_long_enough = or_(Payment.attempts > 0, Payment.due_at <= database_now(-grace_seconds))
    peers = (Payment.protocol_id, Payment.attempts > 0)
    place = func.row_number().over(partition_by=peers, order_by=(Payment.due_at, Payment.id)).label("place")
    due = select(Payment.id, Payment.due_at, place).where(IS_UNSETTLED, is_due(), waits_long_enough).subquery()
    query = select(due.c.id).where(due.c.place <= CALLS_PER_PROTOCOL)
    payment_ids = list(db.session.scalars(query.order_by(due.c.place, due.c.due_at, due.c.id).limit(limit)))
    db.session.rollback()
    return payment_ids
