"""Settling a payment: PENDING → PROCESSING → RELEASED or FAILED, by the worker that holds its lease.

A worker may die at any line. When its lease expires another worker asks the payout service again, with the same key,
and the end is one transaction: payment, pool, ledger, vulnerability and both events. So the service may be asked twice
but pays once, and the pool is charged once.
"""

import logging
import random
from typing import cast

from flask import current_app
from sqlalchemy import update

from app.audit.service import SYSTEM, AuditAction
from app.core.database import transaction, update_one, utc_now
from app.core.extensions import config
from app.core.money import format_amount
from app.observability import metrics
from app.payments import gateway, leases
from app.payments.gateway import Breaker, Paid, Payout, Refused, Unknown
from app.payments.models import Payment
from app.payments.rules import PAID_NOT_RECORDED, PaymentStatus, retry_delay
from app.payments.service import enqueue, record_payment_audit
from app.protocols import service as bounties
from app.protocols.rules import Change, ChangeType
from app.realtime import outbox
from app.vulnerabilities import service as vulnerabilities
from app.vulnerabilities.rules import Status

logger = logging.getLogger(__name__)

SWEEP_GRACE_SECONDS = 2.0  # the job of a new payment is on its way
MAX_SWEPT = 100


def settle(payment_id: str) -> None:
    """Settle one payment if it is due and can be leased. Safe to run any number of times."""
    pause = _breaker().remaining_seconds
    if pause:
        leases.postpone(payment_id, pause)
        _log("payment.postponed", payment_id, delaySeconds=round(pause, 3))
        return
    payment = leases.acquire(payment_id)
    if payment is None:
        return
    if payment.reference is not None:  # an earlier attempt was paid but could not be recorded
        _record_payout(payment, payment.reference)
    else:
        _pay(payment)
    following = leases.next_due(payment.protocol_id)
    if following:
        enqueue(following)


def sweep() -> int:
    """Enqueue payments whose message was lost or whose worker died; returns how many."""
    payment_ids = leases.due_payments(SWEEP_GRACE_SECONDS, MAX_SWEPT)
    for payment_id in payment_ids:
        enqueue(payment_id)
    return len(payment_ids)


def _pay(payment: Payment) -> None:
    payout = Payout(payment.id, payment.protocol_id, payment.amount_minor, payment.currency, payment.recipient)
    outcome = gateway.pay(payout, config())
    if isinstance(outcome, Unknown) and not outcome.was_reached:
        _breaker().record_failure()
    else:
        _breaker().record_success()
    match outcome:
        case Paid(reference):
            _record_payout(payment, reference)
        case Refused(reason):
            _fail(payment, reason)
        case Unknown():
            _retry_later(payment, outcome.reason, outcome.detail, min_delay=outcome.retry_after)


def _breaker() -> Breaker:
    return cast(Breaker, current_app.extensions.setdefault("payout_breaker", Breaker()))


def _record_payout(leased: Payment, reference: str | None) -> None:
    """Record that the money has moved. When that fails the reference is kept, so the next attempt only records.

    Where not even the reference can be stored, the next attempt sends the same key again.
    """
    try:
        payment = _release(leased, reference)
    except Exception as error:
        logger.exception("payment.paid_not_recorded", extra={"paymentId": leased.id, "reference": reference})
        metrics.PAYMENTS.labels("paid_not_recorded").inc()
        _retry_later(leased, f"{PAID_NOT_RECORDED} ({type(error).__name__})", reference=reference)
        return
    if payment is not None:
        _log("payment.released", payment.id, reference=reference)
        outbox.relay(payment.protocol_id)


def _release(leased: Payment, reference: str | None) -> Payment | None:
    """Record the payout in one transaction, also after the lease was lost. None when it has been recorded already.

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
        vulnerability = vulnerabilities.transition(session, payment.vulnerability_id, Status.PAID, reserved_minor=0)
        about = {"vulnerability_id": vulnerability.id, "payment_id": payment.id, "reference": reference}
        change = Change(ChangeType.PAYMENT_RELEASED, payment.amount_minor, SYSTEM, **about)
        bounties.apply_change(session, payment.protocol_id, change)
        amount = format_amount(payment.amount_minor)
        vulnerabilities.append_status_event(session, vulnerability, paymentAmount=amount, paymentId=payment.id)
        record_payment_audit(session, AuditAction.PAYMENT_RELEASED, payment, before=PaymentStatus.PROCESSING)
    return payment


def _fail(leased: Payment, reason: str) -> None:
    """The service refused for good: the reservation stays, and the owner may retry."""
    if leases.release(leased, PaymentStatus.FAILED, reason):
        _log("payment.failed", leased.id, logging.WARNING, attempt=leased.attempts, reason=reason)


def _retry_later(
    leased: Payment, reason: str, detail: str = "", *, min_delay: float = 0.0, reference: str | None = None
) -> None:
    """Return the payment to PENDING; the sweep takes it up after a pause that grows with each attempt."""
    settings = config()
    jitter = random.random()  # noqa: S311 - spreads the attempts, guards nothing
    delay = retry_delay(leased.attempts, settings.payout_retry_base, settings.payout_retry_cap, jitter)
    delay = max(delay, min(min_delay, settings.payout_retry_cap))
    if leases.release(leased, PaymentStatus.PENDING, reason, delay, reference):
        about = {"reason": reason, "detail": detail, "delaySeconds": round(delay, 3)}
        _log("payment.retry_scheduled", leased.id, logging.WARNING, attempt=leased.attempts, **about)


def _log(event: str, payment_id: str, level: int = logging.INFO, **details: object) -> None:
    metrics.PAYMENTS.labels(event.removeprefix("payment.")).inc()
    logger.log(level, event, extra={"paymentId": payment_id, **details})
