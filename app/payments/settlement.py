"""Settling a payment: PENDING → PROCESSING → RELEASED or FAILED, by the worker that holds its lease.

A lease is the right of one worker to settle a payment until a time by the database's clock. A worker may die at any
line. When its lease expires another worker asks the payout service again, with the same key, and the end is one
transaction: payment, pool, ledger, vulnerability and the three events. So the service may be asked twice but pays once,
and the pool is charged once.

At most two payments of a protocol are leased at a time, and at most one of them has been tried before. So a protocol
whose calls hang leaves workers to the others, and a payment that hangs does not hold up its protocol.
"""

import logging
import random
from typing import Any, cast

from flask import current_app
from sqlalchemy import ColumnElement, and_, func, not_, or_, select, update
from sqlalchemy.orm import Session, aliased

from app.audit.service import SYSTEM, AuditAction
from app.core.database import transaction, utc_now
from app.core.extensions import config, db
from app.core.sql_types import database_now
from app.core.values import format_amount
from app.observability import metrics
from app.payments import gateway
from app.payments.gateway import BREAKER_OPEN_SECONDS, Breaker, Paid, Refused, Unknown
from app.payments.models import IS_UNSETTLED, Payment
from app.payments.rules import PAID_NOT_RECORDED, WAS_PAID, PaymentStatus, retry_delay
from app.payments.service import enqueue, lock, record_change, update_if
from app.protocols import service as protocols
from app.protocols.rules import ChangeType
from app.realtime import outbox
from app.vulnerabilities import service as vulnerabilities
from app.vulnerabilities.models import Status

logger = logging.getLogger(__name__)

MAX_CALLS_PER_PROTOCOL = 2
LEASE_SLACK_SECONDS = 3.0
SWEEP_GRACE_SECONDS = 2.0  # the job of a new payment is on its way
MAX_SWEPT = 100


def settle(payment_id: str) -> None:
    """Settle one payment if it is due and can be leased. Safe to run any number of times."""
    pause = _breaker().remaining_seconds
    if pause:
        with transaction() as session:  # counts no attempt
            is_waiting = and_(Payment.id == payment_id, IS_UNSETTLED, _is_due())
            session.execute(update(Payment).where(is_waiting).values(due_at=database_now(pause)))
        _log("payment.postponed", payment_id, delaySeconds=round(pause, 3))
        return
    payment = acquire(payment_id)
    if payment is None:
        return
    if payment.reference is not None:  # an earlier attempt was paid but could not be recorded
        _record_payout(payment, payment.reference)
    else:
        _pay(payment)
    query = select(Payment.id).where(Payment.protocol_id == payment.protocol_id, _can_be_leased())
    following = db.session.scalar(query.order_by(Payment.due_at, Payment.id).limit(1))
    db.session.rollback()
    if following:
        enqueue(following)


def sweep() -> int:
    """Enqueue due payments whose message was lost or whose worker died; returns how many.

    As many of each protocol as can be leased at a time, and new ones only after a grace. Each protocol's first comes
    before any protocol's second; those that were tried before are counted apart.
    """
    has_waited = or_(Payment.attempts > 0, Payment.due_at <= database_now(-SWEEP_GRACE_SECONDS))
    peers = (Payment.protocol_id, Payment.attempts > 0)
    rank = func.row_number().over(partition_by=peers, order_by=(Payment.due_at, Payment.id)).label("rank")
    due = select(Payment.id, Payment.due_at, rank).where(IS_UNSETTLED, _is_due(), has_waited).subquery()
    query = select(due.c.id).where(due.c.rank <= MAX_CALLS_PER_PROTOCOL)
    payment_ids = list(db.session.scalars(query.order_by(due.c.rank, due.c.due_at, due.c.id).limit(MAX_SWEPT)))
    db.session.rollback()
    for payment_id in payment_ids:
        enqueue(payment_id)
    return len(payment_ids)


def acquire(payment_id: str) -> Payment | None:
    """Lease a due payment: PENDING, or PROCESSING with an expired lease. None when it cannot be leased now.

    The returned payment is detached: it stays as it was leased, whatever other attempts change meanwhile.
    """
    lease = {"status": PaymentStatus.PROCESSING.value, "due_at": database_now(_lease_seconds())}
    with transaction() as session:
        if session.get_bind().dialect.name == "postgresql":  # one lease of a protocol at a time; SQLite has one writer
            lock = func.pg_advisory_xact_lock(func.hashtext(Payment.protocol_id))
            session.execute(select(lock).where(Payment.id == payment_id))
        payment = update_if(session, payment_id, _can_be_leased(), attempts=Payment.attempts + 1, **lease)
        if payment is not None:
            session.expunge(payment)
        return payment


def release(
    leased: Payment,
    status: PaymentStatus,
    reason: str,
    delay_seconds: float = 0.0,
    *,
    unpaid_attempts: int | None = None,
    reference: str | None = None,
) -> bool:
    """Return the payment as PENDING or FAILED; False when the lease was lost: another attempt has another number."""
    values: dict[str, Any] = {"status": status.value, "failure_reason": reason, "due_at": database_now(delay_seconds)}
    if unpaid_attempts is not None:
        values["unpaid_attempts"] = unpaid_attempts
    if reference is not None:
        values["reference"] = reference
    is_ours = and_(Payment.status == PaymentStatus.PROCESSING.value, Payment.attempts == leased.attempts)
    with transaction() as session:
        payment = update_if(session, leased.id, is_ours, **values)
        if payment is not None and status is PaymentStatus.FAILED:
            record_change(session, AuditAction.PAYMENT_FAILED, payment, before=PaymentStatus.PROCESSING)
        return payment is not None


def _lease_seconds() -> float:
    """How long a worker may hold a payment before it counts as dead."""
    return gateway.max_call_seconds(config()) + LEASE_SLACK_SECONDS


def _is_due(payment: Any = Payment) -> ColumnElement[bool]:
    """Also true when `due_at` lies beyond the longest pause: the database's clock has stepped back since."""
    longest = max(_lease_seconds(), config().payout_retry_cap, BREAKER_OPEN_SECONDS) + LEASE_SLACK_SECONDS
    return or_(payment.due_at <= database_now(), payment.due_at > database_now(longest))


def _can_be_leased() -> ColumnElement[bool]:
    """Whether a payment waits for an attempt and its protocol may have one more call."""
    running = aliased(Payment)
    calls = (
        select(func.count())
        .select_from(running)
        .where(IS_UNSETTLED, running.status == PaymentStatus.PROCESSING.value, not_(_is_due(running)))
        .where(running.protocol_id == Payment.protocol_id)
        .correlate(Payment)
    )
    has_capacity = calls.scalar_subquery() < MAX_CALLS_PER_PROTOCOL
    no_other_retry = calls.where(running.attempts > 1).scalar_subquery() == 0
    is_first_attempt = Payment.attempts == 0
    return and_(IS_UNSETTLED, has_capacity, or_(is_first_attempt, and_(_is_due(), no_other_retry)))


def _breaker() -> Breaker:
    return cast(Breaker, current_app.extensions.setdefault("payout_breaker", Breaker()))


def _pay(payment: Payment) -> None:
    outcome = gateway.pay(payment, config())
    _breaker().record(was_reached=not isinstance(outcome, Unknown) or outcome.was_reached)
    match outcome:
        case Paid(reference):
            _record_payout(payment, reference)
        case Refused(reason):  # the reservation stays, and the owner may retry or cancel
            if release(payment, PaymentStatus.FAILED, reason, unpaid_attempts=unpaid_attempts(payment, outcome)):
                outbox.relay(payment.protocol_id)
                _log("payment.failed", payment.id, logging.WARNING, attempt=payment.attempts, reason=reason)
        case Unknown():
            certain = unpaid_attempts(payment, outcome)
            _retry_later(
                payment, outcome.reason, outcome.detail, min_delay=outcome.retry_after, unpaid_attempts=certain
            )


def unpaid_attempts(leased: Payment, outcome: Refused | Unknown) -> int:
    """How many of the payment's attempts have certainly moved no money, now that its newest has this outcome.

    A conclusive refusal is about the key, so it covers earlier attempts whose outcome was unknown.
    """
    is_conclusive = isinstance(outcome, Refused) and outcome.is_conclusive
    moved_nothing = isinstance(outcome, Refused) or not outcome.was_reached
    were_unpaid = leased.unpaid_attempts == leased.attempts - 1
    is_conclusive = is_conclusive and leased.unpaid_attempts != WAS_PAID
    return leased.attempts if is_conclusive or (moved_nothing and were_unpaid) else leased.unpaid_attempts


def _record_payout(leased: Payment, reference: str | None) -> None:
    """Record in one transaction that the money has moved, also after the lease was lost.

    Pool and ledger first, so that the pool's event precedes the vulnerability's (spec: Vulnerability paid).
    When that fails the reference is kept, so the next attempt only records. Where not even the reference can be stored,
    the next attempt sends the same key again.
    """
    try:
        with transaction() as session:
            payment = lock(session, leased.id)
            is_same = payment.recipient_number == leased.recipient_number
            if payment.status == PaymentStatus.RELEASED and is_same:
                return
            if payment.status in (PaymentStatus.RELEASED, PaymentStatus.CANCELLED):
                _record_unexpected_payout(payment, leased, reference)
                return
            _charge(session, payment, leased, reference)
    except Exception as error:
        logger.exception("payment.paid_not_recorded", extra={"paymentId": leased.id, "reference": reference})
        metrics.PAYMENTS.labels("paid_not_recorded").inc()
        problem = f"{PAID_NOT_RECORDED} ({type(error).__name__})"
        _retry_later(leased, problem, reference=reference, unpaid_attempts=WAS_PAID)
    else:
        _log("payment.released", leased.id, reference=reference)
        outbox.relay(leased.protocol_id)


def _charge(session: Session, payment: Payment, leased: Payment, reference: str | None) -> None:
    """Release the locked payment, to the recipient of this attempt, and charge the pool; in the order of the events."""
    before = PaymentStatus(payment.status)
    payment.status, payment.released_at = PaymentStatus.RELEASED.value, utc_now()
    payment.reference, payment.failure_reason = reference, None
    payment.recipient, payment.recipient_number = leased.recipient, leased.recipient_number
    payment.version += 1
    vulnerability = vulnerabilities.transition(session, payment.vulnerability_id, Status.PAID, reserved_minor=0)
    protocol_id, amount_minor = payment.protocol_id, payment.amount_minor
    about = {"vulnerability_id": vulnerability.id, "payment_id": payment.id, "reference": reference}
    protocols.apply_change(session, protocol_id, ChangeType.PAYMENT_RELEASED, amount_minor, SYSTEM, **about)
    record_change(session, AuditAction.PAYMENT_RELEASED, payment, before)
    event_data = {"paymentAmount": format_amount(amount_minor), "paymentId": payment.id}
    vulnerabilities.append_status_event(session, vulnerability, **event_data)


def _record_unexpected_payout(payment: Payment, leased: Payment, reference: str | None) -> None:
    """The service has paid a key that it had refused for good before: a person has to settle that with it."""
    payment.failure_reason = f"{PAID_NOT_RECORDED}: {leased.recipient!r} was paid, the payment is {payment.status}"
    payment.version += 1
    metrics.PAYMENTS.labels("paid_not_recorded").inc()
    about = {"paymentId": leased.id, "reference": reference, "recipient": leased.recipient, "status": payment.status}
    logger.error("payment.paid_not_recorded", extra=about)


def _retry_later(leased: Payment, reason: str, detail: str = "", *, min_delay: float = 0.0, **values: Any) -> None:
    """Return the payment to PENDING; the sweep takes it up after a pause that grows with each attempt."""
    settings = config()
    jitter = random.random()  # noqa: S311 - spreads the attempts, guards nothing
    delay = retry_delay(leased.attempts, settings.payout_retry_base, settings.payout_retry_cap, jitter)
    delay = max(delay, min(min_delay, settings.payout_retry_cap))
    if release(leased, PaymentStatus.PENDING, reason, delay, **values):
        about = {"reason": reason, "detail": detail, "delaySeconds": round(delay, 3)}
        _log("payment.retry_scheduled", leased.id, logging.WARNING, attempt=leased.attempts, **about)


def _log(event: str, payment_id: str, level: int = logging.INFO, **details: object) -> None:
    metrics.PAYMENTS.labels(event.removeprefix("payment.")).inc()
    logger.log(level, event, extra={"paymentId": payment_id, **details})
