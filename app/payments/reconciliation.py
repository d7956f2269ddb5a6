"""Proof that all the books agree: ledgers with their pools, reservations and payments with the ledgers."""

from collections import Counter

from sqlalchemy import and_, func, or_, select

from app.bounties import reconciliation as ledgers
from app.bounties.models import LedgerEntry, Pool
from app.bounties.reconciliation import Mismatch
from app.bounties.rules import ChangeType
from app.core.database import consistent_read
from app.core.extensions import db
from app.core.money import format_amount
from app.observability.collectors import Reading
from app.payments.models import Payment
from app.payments.rules import PaymentStatus
from app.protocols.models import Protocol
from app.vulnerabilities.models import Vulnerability

_IS_CHARGE = LedgerEntry.change_type == ChangeType.PAYMENT_RELEASED.value
_IS_RELEASED = Payment.status == PaymentStatus.RELEASED.value


def mismatches() -> list[Mismatch]:
    """What is wrong, as (protocol id, sentence), all of it as of one moment; empty when the books are right."""
    with consistent_read():
        return [
            *_without_pool(),
            *ledgers.mismatches(),
            *_reservations(),
            *_charges_without_payment(),
            *_payments_without_charge(),
        ]


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


def _without_pool() -> list[Mismatch]:
    is_pool_of = select(Pool.protocol_id)
    entries = (
        select(LedgerEntry.protocol_id, func.count())
        .where(LedgerEntry.protocol_id.not_in(is_pool_of))
        .group_by(LedgerEntry.protocol_id)
    )
    orphans = {row[0]: row[1] for row in db.session.execute(entries)}
    poolless = set(db.session.scalars(select(Protocol.id).where(Protocol.id.not_in(is_pool_of))))
    found = sorted(poolless | set(orphans))
    return [(protocol_id, f"there is no pool, and {orphans.get(protocol_id, 0)} entries") for protocol_id in found]


def read_ledger() -> list[Reading]:
    """Compare each pool with its newest entry: one look-up a pool. `dashboard doctor` adds up all of them.

    Raises SQLAlchemyError.
    """
    newest = and_(LedgerEntry.protocol_id == Pool.protocol_id, LedgerEntry.version == Pool.version)
    differs = or_(
        LedgerEntry.id.is_(None),
        LedgerEntry.total_minor != Pool.total_minor,
        LedgerEntry.reserved_minor != Pool.reserved_minor,
        LedgerEntry.paid_minor != Pool.paid_minor,
    )
    broken = select(func.count()).select_from(Pool).outerjoin(LedgerEntry, newest).where(Pool.version > 0, differs)
    poolless = select(func.count()).select_from(Protocol).outerjoin(Pool).where(Pool.protocol_id.is_(None))
    count = float(sum(db.session.execute(each).scalar_one() for each in (broken, poolless)))
    return [Reading("dashboard_ledger_mismatches", "Pools that disagree with their ledger, or are gone", {"": count})]
