"""Leases: the right of one worker to settle a payment until a time by the database's clock.

At most two payments of a protocol are leased at a time, and at most one of them has been tried before. So a protocol
whose calls hang leaves workers to the others, and a payment that hangs does not hold up its protocol.
"""

from typing import Any

from sqlalchemy import ColumnElement, and_, func, not_, or_, select, update
from sqlalchemy.orm import Session, aliased

from app.audit.service import AuditAction
from app.core.database import database_now, transaction, update_one
from app.core.extensions import config, db
from app.payments.gateway import BREAKER_OPEN_SECONDS, max_call_seconds
from app.payments.models import IS_UNSETTLED, Payment
from app.payments.rules import PaymentStatus
from app.payments.service import record_payment_audit

MAX_CALLS_PER_PROTOCOL = 2
LEASE_SLACK_SECONDS = 3.0


def lease_seconds() -> float:
    """How long a worker may hold a payment before it counts as dead."""
    return max_call_seconds(config()) + LEASE_SLACK_SECONDS


def acquire(payment_id: str) -> Payment | None:
    """Lease a due payment: PENDING, or PROCESSING with an expired lease. None when it cannot be leased now.

    The returned payment is detached: it stays as it was leased, whatever other attempts change meanwhile.
    """
    processing = {"status": PaymentStatus.PROCESSING.value, "attempts": Payment.attempts + 1}
    with transaction() as session:
        _lock_protocol(session, payment_id)
        statement = (
            update(Payment)
            .where(Payment.id == payment_id, IS_UNSETTLED, or_(Payment.attempts == 0, _is_due()))
            .where(_protocol_has_capacity())
            .values(**processing, due_at=database_now(lease_seconds()))
            .returning(Payment)
        )
        payment = update_one(session, statement)
        if payment is not None:
            session.expunge(payment)
        return payment


def release(
    leased: Payment, status: PaymentStatus, reason: str, delay_seconds: float = 0.0, reference: str | None = None
) -> bool:
    """Return the payment as PENDING or FAILED; False when the lease was lost: another attempt has another number."""
    values = {"status": status.value, "failure_reason": reason, "due_at": database_now(delay_seconds)}
    if reference is not None:
        values["reference"] = reference
    is_ours = and_(Payment.status == PaymentStatus.PROCESSING.value, Payment.attempts == leased.attempts)
    with transaction() as session:
        statement = update(Payment).where(Payment.id == leased.id, is_ours).values(values).returning(Payment)
        payment = update_one(session, statement)
        if payment is not None and status is PaymentStatus.FAILED:
            record_payment_audit(session, AuditAction.PAYMENT_FAILED, payment, before=PaymentStatus.PROCESSING)
        return payment is not None


def postpone(payment_id: str, seconds: float) -> None:
    """Let a due payment wait; it counts no attempt."""
    with transaction() as session:
        is_waiting = and_(Payment.id == payment_id, IS_UNSETTLED, _is_due())
        session.execute(update(Payment).where(is_waiting).values(due_at=database_now(seconds)))


def next_due(protocol_id: str) -> str | None:
    """The payment of the protocol that has waited longest of those that can be leased now."""
    can_be_leased = and_(IS_UNSETTLED, or_(Payment.attempts == 0, _is_due()), _protocol_has_capacity())
    query = select(Payment.id).where(Payment.protocol_id == protocol_id, can_be_leased)
    payment_id = db.session.scalar(query.order_by(Payment.due_at, Payment.id).limit(1))
    db.session.rollback()
    return payment_id


def due_payments(grace_seconds: float, limit: int) -> list[str]:
    """Due payments, as many of each protocol as can be leased at a time; new ones only after `grace_seconds`.

    Each protocol's first comes before any protocol's second; those that were tried before are counted apart.
    """
    has_waited = or_(Payment.attempts > 0, Payment.due_at <= database_now(-grace_seconds))
    peers = (Payment.protocol_id, Payment.attempts > 0)
    place = func.row_number().over(partition_by=peers, order_by=(Payment.due_at, Payment.id)).label("place")
    due = select(Payment.id, Payment.due_at, place).where(IS_UNSETTLED, _is_due(), has_waited).subquery()
    query = select(due.c.id).where(due.c.place <= MAX_CALLS_PER_PROTOCOL)
    payment_ids = list(db.session.scalars(query.order_by(due.c.place, due.c.due_at, due.c.id).limit(limit)))
    db.session.rollback()
    return payment_ids


def _is_due(payment: Any = Payment) -> ColumnElement[bool]:
    """Also true when `due_at` lies beyond the longest pause: the database's clock has stepped back since."""
    longest = max(lease_seconds(), config().payout_retry_cap, BREAKER_OPEN_SECONDS) + LEASE_SLACK_SECONDS
    return or_(payment.due_at <= database_now(), payment.due_at > database_now(longest))


def _lock_protocol(session: Session, payment_id: str) -> None:
    """Serialize the leasing of one protocol's payments until this transaction ends; SQLite has one writer anyway."""
    if session.get_bind().dialect.name == "postgresql":
        lock = func.pg_advisory_xact_lock(func.hashtext(Payment.protocol_id))
        session.execute(select(lock).where(Payment.id == payment_id))


def _protocol_has_capacity() -> ColumnElement[bool]:
    """Whether the protocol of the payment in the outer query may have one more call."""
    running = aliased(Payment)
    calls = (
        select(func.count())
        .select_from(running)
        .where(IS_UNSETTLED, running.status == PaymentStatus.PROCESSING.value, not_(_is_due(running)))
        .where(running.protocol_id == Payment.protocol_id)
        .correlate(Payment)
    )
    is_first_attempt = Payment.attempts == 0
    no_other_retry = calls.where(running.attempts > 1).scalar_subquery() == 0
    return and_(calls.scalar_subquery() < MAX_CALLS_PER_PROTOCOL, or_(is_first_attempt, no_other_retry))
