"""A payment is settled by whichever worker holds it: PENDING → PROCESSING → RELEASED or FAILED.

A worker may die at any line. Before its call the payment is leased to it; when the lease runs out another worker
asks the payout service again, with the same key; and the end is one transaction: payment, pool, ledger,
vulnerability and both events. So the service may be asked twice, but pays once, and the pool is charged once.
"""

import logging
import random
from typing import cast

from flask import current_app
from sqlalchemy import or_, update

from app.audit.service import SYSTEM, AuditAction
from app.bounties import service as bounties
from app.bounties.rules import Change, ChangeType
from app.core.database import database_now, transaction, update_one, utc_now
from app.core.extensions import config
from app.core.money import format_amount
from app.observability import metrics
from app.payments import concurrency, gateway
from app.payments.breaker import Breaker
from app.payments.concurrency import is_due
from app.payments.models import Payment
from app.payments.rules import PAID_NOT_RECORDED, PaymentStatus, retry_delay
from app.payments.service import audit, enqueue
from app.realtime import outbox
from app.vulnerabilities import service as vulnerabilities
from app.vulnerabilities.rules import Status

logger = logging.getLogger(__name__)

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
    if payment.reference is not None:  # an earlier attempt was told that the money has moved
        _record_payout(payment, payment.reference)
    else:
        _pay(payment, breaker)
    following = concurrency.next_due(payment.protocol_id)
    if following:
        enqueue(following)


def _pay(payment: Payment, breaker: Breaker) -> None:
    outcome = gateway.pay(_payout(payment), config())
    if isinstance(outcome, gateway.Unknown) and not outcome.was_reached:
        breaker.failed()
    else:
        breaker.succeeded()
    match outcome:
        case gateway.Paid(reference):
            _record_payout(payment, reference)
        case gateway.Refused(reason):
            _fail(payment, reason)
        case gateway.Unknown():
            _try_again(payment, outcome)


def sweep() -> int:
    """Enqueue what a lost message or a dead worker left behind; returns how many."""
    payment_ids = concurrency.due_payments(SWEEP_GRACE_SECONDS, SWEEP_LIMIT)
    for payment_id in payment_ids:
        enqueue(payment_id)
    return len(payment_ids)


def _breaker() -> Breaker:
    return cast(Breaker, current_app.extensions.setdefault("payout_breaker", Breaker()))


def _lease(payment_id: str) -> Payment | None:
    """Take a payment that is due: PENDING, or PROCESSING by a worker whose lease has run out."""
    taken = {"status": PaymentStatus.PROCESSING.value, "attempts": Payment.attempts + 1}
    with transaction() as session:
        concurrency.lock_protocol(session, payment_id)
        statement = (
            update(Payment)
            .where(Payment.id == payment_id, Payment.status.in_(_UNSETTLED), or_(Payment.attempts == 0, is_due()))
            .where(concurrency.has_room())
            .values(**taken, due_at=database_now(concurrency.lease_seconds()))
            .returning(Payment)
        )
        payment = update_one(session, statement)
        if payment is not None:
            session.expunge(payment)  # it stays as it was leased, whatever other attempts change meanwhile
        return payment


def _payout(payment: Payment) -> gateway.Payout:
    return gateway.Payout(payment.id, payment.protocol_id, payment.amount_minor, payment.currency, payment.recipient)


def _record_payout(leased: Payment, reference: str | None) -> None:
    """The money has moved. Whatever keeps this from being recorded, the service is not asked as if nothing happened:
    the reference is kept, so that the next attempt only records; where it cannot be, the same key is sent again.
    """
    try:
        payment = _release(leased, reference)
    except Exception as error:
        logger.exception("payment.paid_not_recorded", extra={"paymentId": leased.id, "reference": reference})
        metrics.PAYMENTS.labels("paid_not_recorded").inc()
        _put_back(leased, f"{PAID_NOT_RECORDED} ({type(error).__name__})", reference=reference)
        return
    if payment is not None:
        _tell("released", payment.id, reference=reference)
        outbox.relay(payment.protocol_id)


def _release(leased: Payment, reference: str | None) -> Payment | None:
    """Write all of it down once, whoever else holds the payment by now; None when somebody else has.

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
            return None
        vulnerability = vulnerabilities.move(session, payment.vulnerability_id, Status.PAID, reserved_minor=0)
        about = {"vulnerability_id": vulnerability.id, "payment_id": payment.id, "reference": reference}
        change = Change(ChangeType.PAYMENT_RELEASED, payment.amount_minor, SYSTEM, **about)
        bounties.apply(session, payment.protocol_id, change)
        amount = format_amount(payment.amount_minor)
        vulnerabilities.tell(session, vulnerability, paymentAmount=amount, paymentId=payment.id)
        audit(session, AuditAction.PAYMENT_RELEASED, payment, before=PaymentStatus.PROCESSING)
    return payment


def _fail(leased: Payment, reason: str) -> None:
    """The service refused for good: the reservation stays, the owner may retry."""
    if _give_up_lease(leased, PaymentStatus.FAILED, 0, reason):
        _warn("failed", leased, reason=reason)


def _try_again(leased: Payment, outcome: gateway.Unknown) -> None:
    _put_back(leased, outcome.reason, outcome.detail, retry_after=outcome.retry_after)


def _put_back(
    leased: Payment, reason: str, detail: str = "", *, retry_after: float = 0.0, reference: str | None = None
) -> None:
    """Put the payment back for later, later each time, and no earlier than the service asked for: by the sweep."""
    settings = config()
    spread = random.random()  # noqa: S311 - spreads the attempts, guards nothing
    delay = retry_delay(leased.attempts, settings.payout_retry_base, settings.payout_retry_cap, spread)
    delay = max(delay, min(retry_after, settings.payout_retry_cap))
    if _give_up_lease(leased, PaymentStatus.PENDING, delay, reason, reference):
        _warn("put_back", leased, reason=reason, detail=detail, delaySeconds=round(delay, 3))


def _give_up_lease(
    leased: Payment, status: PaymentStatus, delay: float, reason: str, reference: str | None = None
) -> bool:
    """Only while the lease is ours: another worker's attempt has another number."""
    values = {"status": status.value, "failure_reason": reason, "due_at": database_now(delay)}
    if reference is not None:
        values["reference"] = reference
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
            audit(session, AuditAction.PAYMENT_FAILED, payment, before=PaymentStatus.PROCESSING)
        return payment is not None


def _postpone(payment_id: str, seconds: float) -> None:
    """The payout service is down: do not even ask until the circuit closes."""
    with transaction() as session:
        statement = (
            update(Payment)
            .where(Payment.id == payment_id, Payment.status.in_(_UNSETTLED), is_due())
            .values(due_at=database_now(seconds))
        )
        session.execute(statement)
    _tell("postponed", payment_id, delaySeconds=round(seconds, 3))


def _warn(outcome: str, leased: Payment, **details: object) -> None:
    _tell(outcome, leased.id, logging.WARNING, attempt=leased.attempts, **details)


def _tell(outcome: str, payment_id: str, level: int = logging.INFO, **details: object) -> None:
    metrics.PAYMENTS.labels(outcome).inc()
    logger.log(level, "payment.%s", outcome, extra={"paymentId": payment_id, **details})
