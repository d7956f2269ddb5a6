"""Payments: requested, retried, cancelled and read. A Celery job settles them (settlement.py)."""

import logging
from datetime import datetime
from typing import Any

import uuid_utils.compat as uuid
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from app.audit.service import AuditAction, record_audit
from app.auth.tokens import Principal
from app.core.database import transaction, update_one, utc_now
from app.core.errors import AlreadyExists, InvalidTransition, PaymentNotFound, PaymentUncertain
from app.core.extensions import celery, db, redis_health
from app.core.pagination import Page, made_between, page_by_key
from app.core.queues import PAYMENT_SETTLE_TASK
from app.core.schemas import is_identifier
from app.core.sql_types import database_now
from app.http.idempotency import claim_key, store_response
from app.observability import metrics
from app.payments.models import AT_ONCE, Payment
from app.payments.rules import PaymentStatus, payable_amount
from app.payments.schemas import PaymentSchema, PaymentStatusData
from app.protocols.service import get_pool
from app.realtime import outbox
from app.realtime.events import EventType
from app.vulnerabilities import service as vulnerabilities
from app.vulnerabilities.models import Status, Vulnerability

logger = logging.getLogger(__name__)

MAX_SHOWN = 20
MAX_LISTED = 100  # with older ones that FAILED
_EVENT_DATA, _PAYMENTS = PaymentStatusData(), PaymentSchema(many=True)
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
            recipient_number=1,
            attempts=0,
            unpaid_attempts=0,
            version=1,
            requested_by=principal.subject,
            due_at=database_now(),
            created_at=utc_now(),
        )
        session.add(payment)
        change = amount - vulnerability.reserved_minor
        vulnerabilities.change_reservation(session, vulnerability, change, principal.subject, payment_id)
        record_change(session, AuditAction.PAYMENT_REQUESTED, payment, before=None)
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


def retry(payment_id: str, recipient: str | None, principal: Principal) -> Payment:
    """Return a FAILED payment to PENDING, to another recipient if one is given, and enqueue it.

    The payout service gets another recipient under a new key. It may have paid the earlier one if the outcome of an
    attempt is unknown: then only the same recipient, with the same key, cannot be paid twice.
    Raises NotFound, Conflict (INVALID_TRANSITION, PAYMENT_UNCERTAIN).
    """
    get(payment_id, principal)
    with transaction() as session:
        claim_key(session)
        payment = lock(session, payment_id)
        earlier = payment.recipient
        is_other = recipient not in (None, earlier)
        _check_failed(payment, "retried", must_be_unpaid=is_other)
        payment.status, payment.due_at = PaymentStatus.PENDING.value, AT_ONCE
        payment.version += 1
        if recipient is not None and is_other:
            payment.recipient = recipient
            payment.recipient_number += 1
        record_change(session, AuditAction.PAYMENT_RETRIED, payment, PaymentStatus.FAILED, recipient=earlier)
        store_response(session, payment)
    outbox.relay(payment.protocol_id)
    enqueue(payment.id)
    return payment


def cancel(payment_id: str, principal: Principal) -> Payment:
    """End a FAILED payment and release its reservation; the vulnerability stays CONFIRMED and may be paid anew.

    Raises NotFound, Conflict (INVALID_TRANSITION, PAYMENT_UNCERTAIN).
    """
    get(payment_id, principal)
    with transaction() as session:
        claim_key(session)
        payment = lock(session, payment_id)
        _check_failed(payment, "cancelled", must_be_unpaid=True)
        payment.status = PaymentStatus.CANCELLED.value
        payment.version += 1
        is_its = Vulnerability.payment_id == payment_id
        vulnerability = vulnerabilities.update_if(
            session, payment.vulnerability_id, Status.CONFIRMED, is_its, payment_id=None
        )
        if vulnerability is None:
            raise RuntimeError(f"payment {payment_id!r} is not the one of its vulnerability")
        change = -vulnerability.reserved_minor
        vulnerabilities.change_reservation(session, vulnerability, change, principal.subject, payment_id)
        record_change(session, AuditAction.PAYMENT_CANCELLED, payment, PaymentStatus.FAILED)
        store_response(session, payment)
    metrics.PAYMENTS.labels("cancelled").inc()
    outbox.relay(payment.protocol_id)
    return payment


def lock(session: Session, payment_id: str) -> Payment:
    """The payment as it is now; its row stays locked until the commit. Raises NoResultFound."""
    return session.get_one(Payment, payment_id, populate_existing=True, with_for_update={"key_share": True})


def _check_failed(payment: Payment, change: str, *, must_be_unpaid: bool) -> None:
    if payment.status != PaymentStatus.FAILED:
        detail = f"The payment is {payment.status}; only a FAILED one can be {change}."
        raise InvalidTransition(detail, extra={"currentStatus": payment.status})
    if must_be_unpaid and payment.may_be_paid:
        raise PaymentUncertain(
            f"The payment cannot be {change} like this: the outcome of an attempt is unknown, so {payment.recipient!r} "
            "may have been paid. Retry it to the same recipient to find out."
        )


def update_if(session: Session, payment_id: str, *conditions: ColumnElement[bool], **values: Any) -> Payment | None:
    """The payment after the change, with the next version; None if it does not meet the conditions."""
    statement = update(Payment).where(Payment.id == payment_id, *conditions)
    return update_one(session, statement.values(version=Payment.version + 1, **values).returning(Payment))


def record_change(
    session: Session, action: AuditAction, payment: Payment, before: PaymentStatus | None, **earlier: str
) -> None:
    """Add the event and the audit entry of a payment's change of status to the caller's transaction.

    `earlier`: other members that the audit entry shows as they were before.
    """
    was = None if before is None else {"status": before.value, **earlier}
    place, after = payment.protocol_id, _AUDITED.dump(payment)
    record_audit(session, action, payment.id, protocol_id=place, before=was, after=after)
    moment = payment.created_at if before is None else payment.released_at or utc_now()
    data = _EVENT_DATA.dump(payment) | {"oldStatus": before, "changedAt": moment}
    outbox.append(session, place, EventType.PAYMENT_STATUS_CHANGED, data)


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
    """The latest payments, and older ones that FAILED, since those wait for somebody; newest first."""
    query = select(Payment).where(Payment.protocol_id == protocol_id).order_by(Payment.id.desc())
    shown = list(db.session.scalars(query.limit(MAX_SHOWN)))
    if len(shown) == MAX_SHOWN:
        is_failed = Payment.status == PaymentStatus.FAILED.value
        older = query.where(is_failed, Payment.id < shown[-1].id).limit(MAX_LISTED - MAX_SHOWN)
        shown += db.session.scalars(older)
    return {"payments": _PAYMENTS.dump(shown)}


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
