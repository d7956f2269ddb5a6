"""Reconciliation: compares ledgers with their pools, and reservations and payments with the ledgers."""

from collections import Counter

from sqlalchemy import and_, func, select

from app.core.database import consistent_read
from app.core.extensions import db
from app.core.money import format_amount
from app.payments.models import Payment
from app.payments.rules import PaymentStatus
from app.protocols.models import LedgerEntry, Pool, Protocol
from app.protocols.rules import ChangeType, PoolRuleBroken, Totals
from app.vulnerabilities.models import Vulnerability

Mismatch = tuple[str, str]
"""A protocol's id, and a sentence that says what is wrong."""

_IS_CHARGE = LedgerEntry.change_type == ChangeType.PAYMENT_RELEASED.value
_IS_RELEASED = Payment.status == PaymentStatus.RELEASED.value


def mismatches() -> list[Mismatch]:
    """All mismatches as of one moment."""
    with consistent_read():
        return [
            *_missing_pools(),
            *_ledgers(),
            *_reservations(),
            *_charges_without_payment(),
            *_payments_without_charge(),
        ]


def _ledgers() -> list[Mismatch]:
    """Adds up each ledger from its first entry."""
    pools = db.session.scalars(select(Pool).order_by(Pool.protocol_id)).all()
    faults = ((pool.protocol_id, _ledger_fault(pool)) for pool in pools)
    return [(protocol_id, fault) for protocol_id, fault in faults if fault]


def _ledger_fault(pool: Pool) -> str | None:
    query = select(LedgerEntry).where(LedgerEntry.protocol_id == pool.protocol_id).order_by(LedgerEntry.version)
    totals, version = Totals(), 0
    for entry in db.session.scalars(query.execution_options(yield_per=1000)):
        version += 1
        if entry.version != version:
            return f"the entry of version {version} is missing"
        try:
            totals = totals.after(ChangeType(entry.change_type), entry.amount_minor)
        except (PoolRuleBroken, ValueError) as error:  # ValueError: an unknown kind of entry
            return f"entry {entry.id} breaks the rules: {error}"
        if totals != Totals(entry.total_minor, entry.reserved_minor, entry.paid_minor):
            return f"entry {entry.id} has other totals than the entries up to it give: {totals}"
    if version != pool.version or totals != Totals(pool.total_minor, pool.reserved_minor, pool.paid_minor):
        return f"the ledger gives {totals} at version {version}, the pool differs"
    return None


def _reservations() -> list[Mismatch]:
    """Added up in Python, because forged amounts may overflow SQLite's SUM."""
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


def _missing_pools() -> list[Mismatch]:
    has_pool = select(Pool.protocol_id)
    entries = (
        select(LedgerEntry.protocol_id, func.count())
        .where(LedgerEntry.protocol_id.not_in(has_pool))
        .group_by(LedgerEntry.protocol_id)
    )
    orphans = {row[0]: row[1] for row in db.session.execute(entries)}
    without_pool = set(db.session.scalars(select(Protocol.id).where(Protocol.id.not_in(has_pool))))
    found = sorted(without_pool | set(orphans))
    return [(protocol_id, f"there is no pool, and {orphans.get(protocol_id, 0)} entries") for protocol_id in found]
