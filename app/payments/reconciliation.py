"""Proof that all the books agree: ledgers with their pools, reservations and payments with the ledgers."""

from collections import Counter

from sqlalchemy import and_, select

from app.bounties import reconciliation as ledgers
from app.bounties.models import LedgerEntry, Pool
from app.bounties.reconciliation import Mismatch
from app.bounties.rules import ChangeType
from app.core.database import reading
from app.core.extensions import db
from app.core.money import format_amount
from app.payments.models import Payment
from app.payments.rules import PaymentStatus
from app.vulnerabilities.models import Vulnerability

_IS_CHARGE = LedgerEntry.change_type == ChangeType.PAYMENT_RELEASED.value
_IS_RELEASED = Payment.status == PaymentStatus.RELEASED.value


def mismatches() -> list[Mismatch]:
    """What is wrong, as (protocol id, sentence), all of it as of one moment; empty when the books are right."""
    with reading():
        return [*ledgers.mismatches(), *_reservations(), *_charges_without_payment(), *_payments_without_charge()]


def _reservations() -> list[Mismatch]:
    """Added up here: what somebody has forged may be more than SQLite's SUM can hold."""
    held: Counter[str] = Counter()
    holders = select(Vulnerability.protocol_id, Vulnerability.reserved_minor).where(Vulnerability.reserved_minor != 0)
    for protocol_id, reserved in db.session.execute(holders.execution_options(yield_per=1000)):
        held[protocol_id] += reserved
    pools = db.session.execute(select(Pool.protocol_id, Pool.reserved_minor))
    return [
        (protocol_id, f"{format_amount(reserved)} are reserved, for vulnerabilities {format_amount(held[protocol_id])}")
        for protocol_id, reserved in pools
        if reserved != held[protocol_id]
    ]


def _charges_without_payment() -> list[Mismatch]:
    is_its_payment = and_(
        Payment.id == LedgerEntry.payment_id,
        Payment.protocol_id == LedgerEntry.protocol_id,
        Payment.vulnerability_id == LedgerEntry.vulnerability_id,
        Payment.amount_minor == LedgerEntry.amount_minor,
        _IS_RELEASED,
    )
    found = (
        select(LedgerEntry.protocol_id, LedgerEntry.id, LedgerEntry.payment_id)
        .outerjoin(Payment, is_its_payment)
        .where(_IS_CHARGE, Payment.id.is_(None))
    )
    return [
        (protocol_id, f"entry {entry_id} charges payment {payment_id}, which is not RELEASED with this amount")
        for protocol_id, entry_id, payment_id in db.session.execute(found)
    ]


def _payments_without_charge() -> list[Mismatch]:
    charge = and_(LedgerEntry.payment_id == Payment.id, _IS_CHARGE)
    found = (
        select(Payment.protocol_id, Payment.id)
        .outerjoin(LedgerEntry, charge)
        .where(_IS_RELEASED, LedgerEntry.id.is_(None))
    )
    return [
        (protocol_id, f"payment {payment_id} is RELEASED, and no entry charges it")
        for protocol_id, payment_id in db.session.execute(found)
    ]
