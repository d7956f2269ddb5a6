"""Payments: requested, retried and read. A Celery job settles them (settlement.py)."""

import logging
from datetime import datetime
from typing import Any

import uuid_utils.compat as uuid
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from app.audit.service import AuditAction, record_audit
from app.auth.tokens import Principal
from app.core.database import database_now, transaction, update_one, utc_now
from app.core.errors import AlreadyExists, InvalidTransition, PaymentNotFound
from app.core.extensions import celery, db, redis_health
from app.core.pagination import Page, made_between, page_by_key
from app.core.queues import PAYMENT_SETTLE_TASK
from app.core.schemas import is_identifier
from app.http.idempotency import claim_key, store_response
from app.observability import metrics
from app.payments.models import AT_ONCE, Payment
from app.payments.rules import PaymentStatus, payable_amount
from app.payments.schemas import PaymentSchema
from app.protocols.service import get_pool
from app.realtime import outbox
from app.vulnerabilities import service as vulnerabilities
from app.vulnerabilities.models import Status, Vulnerability

logger = logging.getLogger(__name__)

MAX_SHOWN = 20
_AUDITED = PaymentSchema(
    only=("status", "amount", "currency", "recipient", "vulnerability_id", "attempts", "reference", "failure_reason")
)


def request_payment(vulnerability_id: str, recipient: str, amount_minor: int | None, principal: Principal) -> Payment:
    """Store a PENDING payment of a confirmed vulnerability's bounty and enqueue its settlement.

    Raises NotFound, Conflict (INVALID_TRANSITION, ALREADY_EXISTS, INSUFFICIENT_FUNDS), InvalidInput (the amount).
    """
    protocol_id = vulnerabilities.get(vulnerability_id, principal).protocol_id
    currency = get_pool(protocol_id).currency
    with transaction() as session:
        claim_key(session)
        payment_id = str(uuid.uuid7())
        vulnerability = _assign(session, vulnerability_id, payment_id)
        amount = payable_amount(vulnerability.reserved_minor, amount_minor)
        payment = Payment(
            id=payment_id,
            vulnerability_id=vulnerability.id,
            protocol_id=vulnerability.protocol_id,
            amount_minor=amount,
            currency=currency,
            recipient=recipient,
            status=PaymentStatus.PENDING.value,
            attempts=0,
            requested_by=principal.subject,
            due_at=database_now(),
            created_at=utc_now(),
        )
        session.add(payment)
        change = amount - vulnerability.reserved_minor
        vulnerabilities.change_reservation(session, vulnerability, change, principal.subject, payment_id)
        record_payment_audit(session, AuditAction.PAYMENT_REQUESTED, payment, before=None)
        store_response(session, payment)
    outbox.relay(payment.protocol_id)
    enqueue(payment.id)
    return payment


def _assign(session: Session, vulnerability_id: str, payment_id: str) -> Vulnerability:
    """Link the vulnerability to its payment; its row stays locked until the commit."""
    is_unpaid = Vulnerability.payment_id.is_(None)
    assigned = {"payment_id": payment_id}
    vulnerability = vulnerabilities.update_if(session, vulnerability_id, Status.CONFIRMED, is_unpaid, **assigned)
    if vulnerability is None:
        current = session.get_one(Vulnerability, vulnerability_id, populate_existing=True)
        if current.payment_id is not None:
            raise AlreadyExists(f"The vulnerability has the payment {current.payment_id!r} already.")
        raise vulnerabilities.invalid_transition(current, Status.PAID)
    return vulnerability


def retry(payment_id: str, principal: Principal) -> Payment:
    """Return a FAILED payment to PENDING and enqueue it. Raises NotFound, Conflict (INVALID_TRANSITION)."""
    get(payment_id, principal)
    pending = {"status": PaymentStatus.PENDING.value, "due_at": AT_ONCE}
    with transaction() as session:
        claim_key(session)
        payment = update_if(session, payment_id, Payment.status == PaymentStatus.FAILED.value, **pending)
        if payment is None:
            status = session.get_one(Payment, payment_id, populate_existing=True).status
            detail = f"The payment is {status}; only a FAILED one can be retried."
            raise InvalidTransition(detail, extra={"currentStatus": status})
        record_payment_audit(session, AuditAction.PAYMENT_RETRIED, payment, before=PaymentStatus.FAILED)
        store_response(session, payment)
    enqueue(payment.id)
    return payment


def update_if(session: Session, payment_id: str, *conditions: ColumnElement[bool], **values: Any) -> Payment | None:
    """The payment after the change; None if it does not meet the conditions."""
    statement = update(Payment).where(Payment.id == payment_id, *conditions).values(**values).returning(Payment)
    return update_one(session, statement)


def record_payment_audit(session: Session, action: AuditAction, payment: Payment, before: PaymentStatus | None) -> None:
    """Add the audit entry of a payment's change of status to the caller's transaction."""
    earlier = None if before is None else {"status": before.value}
    place, after = payment.protocol_id, _AUDITED.dump(payment)
    record_audit(session, action, payment.id, protocol_id=place, before=earlier, after=after)


def get(payment_id: str, principal: Principal) -> Payment:
    """Raises NotFound, also for a payment of a protocol that the token does not grant."""
    known = is_identifier(payment_id)
    payment = db.session.get(Payment, payment_id, populate_existing=True) if known else None
    if payment is None or not principal.grants(payment.protocol_id):
        raise PaymentNotFound(f"There is no payment {payment_id!r}.")
    return payment


def list_payments(
    protocol_id: str,
    limit: int,
    cursor: list[Any] | None,
    *,
    status: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page:
    """A protocol's payments, newest first; only those requested in the period. Raises NotFound."""
    get_pool(protocol_id)
    query = select(Payment).where(Payment.protocol_id == protocol_id)
    if status is not None:
        query = query.where(Payment.status == status)
    return page_by_key(made_between(query, Payment.created_at, since, until), Payment.id, limit, cursor)


def snapshot_section(protocol_id: str) -> dict[str, Any]:
    return {"payments": PaymentSchema(many=True).dump(list_payments(protocol_id, MAX_SHOWN, None).items)}


def enqueue(payment_id: str) -> None:
    """Send the settlement job of a committed payment; the sweep resends it when the broker does not accept it."""
    problem = "" if redis_health().is_available() else "Redis does not answer"
    if not problem:
        try:
            celery.send_task(PAYMENT_SETTLE_TASK, args=[payment_id], retry=False)
        except Exception as error:  # noqa: BLE001 - the payment is stored, whatever the broker's client raises
            problem = str(error) or type(error).__name__
    if problem:
        metrics.ENQUEUE_FAILURES.labels(PAYMENT_SETTLE_TASK).inc()
        logger.warning("payment.enqueue_failed", extra={"paymentId": payment_id, "error": problem})
