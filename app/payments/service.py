"""Payments: requested, retried and read. A Celery job settles them (settlement.py)."""

import logging
from typing import Any

import uuid_utils.compat as uuid
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.audit.service import AuditAction, record_audit
from app.auth.tokens import Principal
from app.core import redis_health
from app.core.database import database_now, transaction, update_one, utc_now
from app.core.errors import AlreadyExists, InvalidInput, InvalidTransition, PaymentNotFound
from app.core.extensions import celery, db
from app.core.money import format_amount
from app.core.pagination import Page, page_by_key
from app.core.queues import PAYMENT_SETTLE_TASK
from app.core.schemas import is_identifier
from app.http.idempotency import claim_key, store_response
from app.observability import metrics
from app.payments.models import AT_ONCE, Payment
from app.payments.rules import AmountRefused, PaymentStatus, Split, split_reservation
from app.payments.schemas import PaymentSchema
from app.protocols.service import get_pool
from app.realtime import outbox
from app.vulnerabilities import service as vulnerabilities
from app.vulnerabilities.models import Vulnerability
from app.vulnerabilities.rules import Status

logger = logging.getLogger(__name__)

MAX_SHOWN = 20


def request_payment(vulnerability_id: str, recipient: str, asked_minor: int | None, principal: Principal) -> Payment:
    """Store a PENDING payment of a confirmed vulnerability's bounty and enqueue its settlement.

    Raises NotFound, Conflict (INVALID_TRANSITION, ALREADY_EXISTS, INSUFFICIENT_FUNDS), InvalidInput (the amount).
    """
    found = vulnerabilities.get(vulnerability_id, principal)
    currency = get_pool(found.protocol_id).currency
    with transaction() as session:
        claim_key(session)
        payment_id = str(uuid.uuid7())
        vulnerability = _assign(session, vulnerability_id, payment_id)
        split = _split(vulnerability, asked_minor)
        payment = _new(vulnerability, payment_id, split.amount, currency, recipient=recipient, by=principal.subject)
        session.add(payment)
        _adjust_reservation(session, vulnerability, split, payment)
        record_payment_audit(session, AuditAction.PAYMENT_REQUESTED, payment, before=None)
        store_response(session, payment)
    outbox.relay(payment.protocol_id)
    enqueue(payment.id)
    return payment


def retry(payment_id: str, principal: Principal) -> Payment:
    """Return a FAILED payment to PENDING and enqueue it. Raises NotFound, Conflict (INVALID_TRANSITION)."""
    get(payment_id, principal)
    pending = {"status": PaymentStatus.PENDING.value, "due_at": AT_ONCE}
    with transaction() as session:
        claim_key(session)
        is_failed = Payment.status == PaymentStatus.FAILED.value
        statement = update(Payment).where(Payment.id == payment_id, is_failed).values(pending).returning(Payment)
        payment = update_one(session, statement)
        if payment is None:
            raise _not_failed(session.get_one(Payment, payment_id, populate_existing=True))
        record_payment_audit(session, AuditAction.PAYMENT_RETRIED, payment, before=PaymentStatus.FAILED)
        store_response(session, payment)
    enqueue(payment.id)
    return payment


def record_payment_audit(session: Session, action: AuditAction, payment: Payment, before: PaymentStatus | None) -> None:
    """Add the audit entry of a payment's change of status to the caller's transaction."""
    after = {
        "status": payment.status,
        "amount": format_amount(payment.amount_minor),
        "currency": payment.currency,
        "recipient": payment.recipient,
        "vulnerabilityId": payment.vulnerability_id,
        "attempts": payment.attempts,
        "reference": payment.reference,
        "failureReason": payment.refusal_reason,
    }
    earlier = None if before is None else {"status": before.value}
    record_audit(session, action, payment.id, protocol_id=payment.protocol_id, before=earlier, after=after)


def get(payment_id: str, principal: Principal) -> Payment:
    """Raises NotFound, also for a payment of a protocol that the token does not grant."""
    known = is_identifier(payment_id)
    payment = db.session.get(Payment, payment_id, populate_existing=True) if known else None
    if payment is None or not principal.sees(payment.protocol_id):
        raise PaymentNotFound(f"There is no payment {payment_id!r}.")
    return payment


def list_payments(protocol_id: str, limit: int, cursor: list[Any] | None) -> Page:
    """A protocol's payments, newest first. Raises NotFound."""
    get_pool(protocol_id)
    query = select(Payment).where(Payment.protocol_id == protocol_id)
    return page_by_key(query, Payment.id, limit, cursor)


def snapshot_section(protocol_id: str) -> dict[str, Any]:
    return {"payments": PaymentSchema(many=True).dump(list_payments(protocol_id, MAX_SHOWN, None).items)}


def enqueue(payment_id: str) -> None:
    """Send the settlement job of a committed payment; the sweep resends it when the broker does not accept it."""
    if not redis_health.is_available():
        _log_not_enqueued(payment_id, "Redis does not answer")
        return
    try:
        celery.send_task(PAYMENT_SETTLE_TASK, args=[payment_id], retry=False)
    except Exception as error:  # noqa: BLE001 - the payment is stored, whatever the broker's client raises
        _log_not_enqueued(payment_id, str(error))


def _log_not_enqueued(payment_id: str, error: str) -> None:
    metrics.ENQUEUE_FAILURES.labels(PAYMENT_SETTLE_TASK).inc()
    logger.warning("payment.not_enqueued", extra={"paymentId": payment_id, "error": error})


def _assign(session: Session, vulnerability_id: str, payment_id: str) -> Vulnerability:
    """Link the vulnerability to its payment; the row stays locked until the commit."""
    statement = (
        update(Vulnerability)
        .where(
            Vulnerability.id == vulnerability_id,
            Vulnerability.status == Status.CONFIRMED.value,
            Vulnerability.payment_id.is_(None),
        )
        .values(payment_id=payment_id, version=Vulnerability.version + 1, updated_at=utc_now())
        .returning(Vulnerability)
    )
    vulnerability = update_one(session, statement)
    if vulnerability is None:
        current = session.get_one(Vulnerability, vulnerability_id, populate_existing=True)
        if current.payment_id is not None:
            raise AlreadyExists(f"The vulnerability has the payment {current.payment_id!r} already.")
        raise vulnerabilities.invalid_transition(current, Status.PAID)
    return vulnerability


def _split(vulnerability: Vulnerability, asked_minor: int | None) -> Split:
    try:
        return split_reservation(vulnerability.reserved_minor, asked_minor)
    except AmountRefused as error:
        message = str(error)
        raise InvalidInput(f"The amount cannot be paid: {message}", fields={"amount": [message]}) from error


def _adjust_reservation(session: Session, vulnerability: Vulnerability, split: Split, payment: Payment) -> None:
    actor = payment.requested_by
    vulnerabilities.release_reservation(session, vulnerability, split.to_release, actor, payment.id)
    if split.to_reserve:
        vulnerabilities.reserve(session, vulnerability, split.to_reserve, actor, payment.id)


def _new(
    vulnerability: Vulnerability, payment_id: str, amount_minor: int, currency: str, *, recipient: str, by: str
) -> Payment:
    now = utc_now()
    return Payment(
        id=payment_id,
        vulnerability_id=vulnerability.id,
        protocol_id=vulnerability.protocol_id,
        amount_minor=amount_minor,
        currency=currency,
        recipient=recipient,
        status=PaymentStatus.PENDING.value,
        failure_reason=None,
        reference=None,
        attempts=0,
        requested_by=by,
        due_at=database_now(),
        created_at=now,
        released_at=None,
    )


def _not_failed(payment: Payment) -> InvalidTransition:
    detail = f"The payment is {payment.status}; only a FAILED one can be retried."
    return InvalidTransition(detail, extra={"currentStatus": payment.status})
