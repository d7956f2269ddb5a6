"""A payment is settled by whichever worker holds it: PENDING → PROCESSING → RELEASED or FAILED.

A worker may die at any line. Before its call the payment is leased to it; when the lease runs out another worker
asks the payout service again, with the same key; and the end is one transaction: payment, pool, ledger,
vulnerability and both events. So the service may be asked twice, but pays once, and the pool is charged once.
"""

import logging
import random
from typing import cast

from flask import current_app
from sqlalchemy import ColumnElement, or_, select, update

from app.audit.service import SYSTEM, Audited
from app.bounties import service as bounties
from app.bounties.ledger import Change, ChangeType
from app.database import database_now, transaction, update_one, utc_now
from app.extensions import config, db
from app.money import format_amount
from app.observability import metrics
from app.payments import gateway
from app.payments.breaker import OPEN_SECONDS, Breaker
from app.payments.models import IS_UNSETTLED, Payment
from app.payments.rules import PaymentStatus, retry_delay
from app.payments.service import audit, enqueue
from app.realtime import outbox
from app.vulnerabilities import service as vulnerabilities
from app.vulnerabilities.states import Status

logger = logging.getLogger(__name__)

LEASE_SLACK_SECONDS = 3.0
SWEEP_GRACE_SECONDS = 2.0  # the job of a new payment is on its way
SWEEP_LIMIT = 100
_UNSETTLED = (PaymentStatus.PENDING.value, PaymentStatus.PROCESSING.value)


def settle(payment_id: str) -> None:
    """Pay one payment if it is due and nobody else is at it. Safe to run any number of times."""
    breaker = _breaker()
    if breaker.pause:
        _postpone(payment_id, breaker.pause)
        return
    payment = _lease(payment_id)
    if payment is None:
        return
    outcome = gateway.pay(_payout(payment), config())
    match outcome:
        case gateway.Paid(reference):
            breaker.succeeded()
            _release(payment, reference)
        case gateway.Refused(reason):
            breaker.succeeded()
            _fail(payment, reason)
        case gateway.Unknown(reason, detail):
            breaker.failed()
            _try_again(payment, reason, detail)


def sweep() -> int:
    """Enqueue what a lost message or a dead worker left behind; returns how many."""
    query = (
        select(Payment.id)
        .where(IS_UNSETTLED, _is_due(), or_(Payment.attempts > 0, Payment.due_at <= database_now(-SWEEP_GRACE_SECONDS)))
        .order_by(Payment.due_at, Payment.id)
        .limit(SWEEP_LIMIT)
    )
    payment_ids = list(db.session.scalars(query))
    db.session.rollback()
    for payment_id in payment_ids:
        enqueue(payment_id)
    return len(payment_ids)


def _breaker() -> Breaker:
    return cast(Breaker, current_app.extensions.setdefault("payout_breaker", Breaker()))


def _lease(payment_id: str) -> Payment | None:
    """Take a payment that is due: PENDING, or PROCESSING by a worker whose lease has run out."""
    taken = {"status": PaymentStatus.PROCESSING.value, "attempts": Payment.attempts + 1}
    with transaction() as session:
        statement = (
            update(Payment)
            .where(Payment.id == payment_id, Payment.status.in_(_UNSETTLED), or_(Payment.attempts == 0, _is_due()))
            .values(**taken, due_at=database_now(_lease_seconds()))
            .returning(Payment)
        )
        return update_one(session, statement)


def _lease_seconds() -> float:
    return gateway.longest_call(config()) + LEASE_SLACK_SECONDS


def _is_due() -> ColumnElement[bool]:
    """By the database's clock; a time further away than any pause is from before that clock stepped back."""
    longest = max(_lease_seconds(), config().payout_retry_cap, OPEN_SECONDS) + LEASE_SLACK_SECONDS
    return or_(Payment.due_at <= database_now(), Payment.due_at > database_now(longest))


def _payout(payment: Payment) -> gateway.Payout:
    return gateway.Payout(payment.id, payment.protocol_id, payment.amount_minor, payment.currency, payment.recipient)


def _release(leased: Payment, reference: str | None) -> None:
    """The money has moved, whoever else holds the payment by now: write all of it down, once.

    Pool and ledger first, so that the pool's event precedes the vulnerability's (spec: Vulnerability paid).
    """
    released = {"status": PaymentStatus.RELEASED.value, "reference": reference, "failure_reason": None}
    with transaction() as session:
        statement = (
            update(Payment)
            .where(Payment.id == leased.id, Payment.status != PaymentStatus.RELEASED.value)
            .values(**released, released_at=utc_now())
            .returning(Payment)
        )
        payment = update_one(session, statement)
        if payment is None:
            return
        vulnerability = vulnerabilities.move(session, payment.vulnerability_id, Status.PAID, reserved_minor=0)
        about = {"vulnerability_id": vulnerability.id, "payment_id": payment.id, "reference": reference}
        change = Change(ChangeType.PAYMENT_RELEASED, payment.amount_minor, SYSTEM, **about)
        bounties.apply(session, payment.protocol_id, change)
        amount = format_amount(payment.amount_minor)
        vulnerabilities.tell(session, vulnerability, paymentAmount=amount, paymentId=payment.id)
        audit(session, Audited.PAYMENT_RELEASED, payment, before=PaymentStatus.PROCESSING)
    _tell("released", payment.id, reference=reference)
    outbox.relay(payment.protocol_id)


def _fail(leased: Payment, reason: str) -> None:
    """The service refused for good: the reservation stays, the owner may retry."""
    if _give_up_lease(leased, PaymentStatus.FAILED, 0, reason):
        _warn("failed", leased, reason=reason)


def _try_again(leased: Payment, reason: str, detail: str) -> None:
    """Put the payment back for later, later each time; the sweep takes it up when it is due."""
    settings = config()
    spread = random.random()  # noqa: S311 - spreads the attempts, guards nothing
    delay = retry_delay(leased.attempts, settings.payout_retry_base, settings.payout_retry_cap, spread)
    if _give_up_lease(leased, PaymentStatus.PENDING, delay, reason):
        _warn("put_back", leased, reason=reason, detail=detail, delaySeconds=round(delay, 3))


def _give_up_lease(leased: Payment, status: PaymentStatus, delay: float, reason: str) -> bool:
    """Only while the lease is ours: another worker's attempt has another number."""
    values = {"status": status.value, "failure_reason": reason, "due_at": database_now(delay)}
    with transaction() as session:
        statement = (
            update(Payment)
            .where(
                Payment.id == leased.id,
                Payment.status == PaymentStatus.PROCESSING.value,
                Payment.attempts == leased.attempts,
            )
            .values(values)
            .returning(Payment)
        )
        payment = update_one(session, statement)
        if payment is not None and status is PaymentStatus.FAILED:
            audit(session, Audited.PAYMENT_FAILED, payment, before=PaymentStatus.PROCESSING)
        return payment is not None


def _postpone(payment_id: str, seconds: float) -> None:
    """The payout service is down: do not even ask until the circuit closes."""
    with transaction() as session:
        statement = (
            update(Payment)
            .where(Payment.id == payment_id, Payment.status.in_(_UNSETTLED), _is_due())
            .values(due_at=database_now(seconds))
        )
        session.execute(statement)
    _tell("postponed", payment_id, delaySeconds=round(seconds, 3))


def _warn(outcome: str, leased: Payment, **details: object) -> None:
    _tell(outcome, leased.id, logging.WARNING, attempt=leased.attempts, **details)


def _tell(outcome: str, payment_id: str, level: int = logging.INFO, **details: object) -> None:
    metrics.PAYMENTS.labels(outcome).inc()
    logger.log(level, "payment.%s", outcome, extra={"paymentId": payment_id, **details})
