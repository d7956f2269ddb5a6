"""Checks of the money: gauges for `/metrics`, and the stuck payments and mismatches that `dashboard doctor` names.

Reconciliation compares ledgers with their pools, reservations and payments with the ledgers, and vulnerabilities with
their payments. A CANCELLED payment waits for nobody; it may only be one that was paid after all.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta

from sqlalchemy import and_, func, or_, select

from app.core.database import consistent_read, utc_now
from app.core.extensions import db
from app.core.values import format_amount
from app.observability.collectors import Reading
from app.payments.models import IS_UNSETTLED, Payment
from app.payments.rules import PAID_NOT_RECORDED, PaymentStatus
from app.protocols.models import LedgerEntry, Pool, Protocol
from app.protocols.rules import ChangeType, Totals
from app.vulnerabilities.models import Vulnerability

Mismatch = tuple[str, str]
"""A protocol's id, and a sentence that says what is wrong."""

UNPAID = ("PENDING", "PROCESSING", "FAILED")
STUCK_ATTEMPTS = 5
STUCK_SECONDS = 300
_IS_NOT_RECORDED = Payment.failure_reason.startswith(PAID_NOT_RECORDED)
_MAY_BE_UNRECORDED = or_(IS_UNSETTLED, Payment.status == PaymentStatus.CANCELLED.value)
_IS_CHARGE = LedgerEntry.change_type == ChangeType.PAYMENT_RELEASED.value
_IS_LIVE = Payment.status != PaymentStatus.CANCELLED.value
_IS_RELEASED = Payment.status == PaymentStatus.RELEASED.value


def read_payments() -> list[Reading]:
    """Raises SQLAlchemyError."""
    by_status = (
        select(Payment.status, func.count(), func.min(Payment.created_at))
        .where(Payment.status.in_(UNPAID))
        .group_by(Payment.status)
    )
    counts, ages, now = dict.fromkeys(UNPAID, 0.0), dict.fromkeys(UNPAID, 0.0), utc_now()
    for status, count, oldest in db.session.execute(by_status):
        counts[status], ages[status] = float(count), (now - oldest).total_seconds()
    not_recorded = select(func.count()).select_from(Payment).where(_MAY_BE_UNRECORDED, _IS_NOT_RECORDED)
    paid = {"": float(db.session.execute(not_recorded).scalar_one())}
    return [
        Reading("dashboard_payments_not_recorded", "Payments that were paid and could not be recorded", paid),
        Reading("dashboard_payments_waiting", "Payments that are not released, by status", counts, "status"),
        Reading("dashboard_payments_oldest_seconds", "Age of the oldest unreleased payment, by status", ages, "status"),
    ]


def read_ledger() -> list[Reading]:
    """Compares each pool with its newest entry only; `mismatches` adds up all of them. Raises SQLAlchemyError."""
    newest = and_(LedgerEntry.protocol_id == Pool.protocol_id, LedgerEntry.version == Pool.version)
    differs = or_(
        LedgerEntry.id.is_(None),
        LedgerEntry.total_minor != Pool.total_minor,
        LedgerEntry.reserved_minor != Pool.reserved_minor,
        LedgerEntry.paid_minor != Pool.paid_minor,
    )
    broken = select(func.count()).select_from(Pool).outerjoin(LedgerEntry, newest).where(Pool.version > 0, differs)
    missing = select(func.count()).select_from(Protocol).outerjoin(Pool).where(Pool.protocol_id.is_(None))
    count = float(sum(db.session.execute(each).scalar_one() for each in (broken, missing)))
    return [Reading("dashboard_ledger_mismatches", "Pools that disagree with their ledger or are missing", {"": count})]


def stuck_payments(limit: int) -> Sequence[Payment]:
    """Payments that are unsettled for long, were tried often, or were paid but not recorded; the oldest first."""
    is_old = Payment.created_at < utc_now() - timedelta(seconds=STUCK_SECONDS)
    is_slow = and_(IS_UNSETTLED, or_(is_old, Payment.attempts >= STUCK_ATTEMPTS))
    is_stuck = or_(is_slow, and_(_MAY_BE_UNRECORDED, _IS_NOT_RECORDED))
    query = select(Payment).where(is_stuck).order_by(Payment.created_at).limit(limit)
    return db.session.scalars(query).all()


def mismatches() -> list[Mismatch]:
    """All mismatches as of one moment."""
    checks = (_missing_pools, _ledgers, _reservations, _charges, _links)
    with consistent_read():
        return [mismatch for check in checks for mismatch in check()]


def _missing_pools() -> Iterator[Mismatch]:
    has_pool = select(Pool.protocol_id)
    entries = select(LedgerEntry.protocol_id).where(LedgerEntry.protocol_id.not_in(has_pool))
    orphans = Counter(db.session.scalars(entries))
    without_pool = set(db.session.scalars(select(Protocol.id).where(Protocol.id.not_in(has_pool))))
    for protocol_id in sorted(without_pool | set(orphans)):
        yield protocol_id, f"there is no pool, and {orphans[protocol_id]} entries"


def _ledgers() -> Iterator[Mismatch]:
    """Adds up each ledger from its first entry."""
    for pool in db.session.scalars(select(Pool).order_by(Pool.protocol_id)).all():
        if fault := _ledger_fault(pool):
            yield pool.protocol_id, fault


def _ledger_fault(pool: Pool) -> str | None:
    query = select(LedgerEntry).where(LedgerEntry.protocol_id == pool.protocol_id).order_by(LedgerEntry.version)
    totals, version = Totals(), 0
    for entry in db.session.scalars(query.execution_options(yield_per=1000)):
        version += 1
        if entry.version != version:
            return f"the entry of version {version} is missing"
        try:
            totals = totals.after(ChangeType(entry.change_type), entry.amount_minor)
        except ValueError as error:  # also an unknown kind of entry
            return f"entry {entry.id} breaks the rules: {error}"
        if totals != Totals(entry.total_minor, entry.reserved_minor, entry.paid_minor):
            return f"entry {entry.id} has other totals than the entries up to it give: {totals}"
    if version != pool.version or totals != Totals(pool.total_minor, pool.reserved_minor, pool.paid_minor):
        return f"the ledger gives {totals} at version {version}, the pool differs"
    return None


def _reservations() -> Iterator[Mismatch]:
    """Added up in Python, because forged amounts may overflow SQLite's SUM."""
    held: Counter[str] = Counter()
    holders = select(Vulnerability.protocol_id, Vulnerability.reserved_minor).where(Vulnerability.reserved_minor != 0)
    for protocol_id, reserved in db.session.execute(holders.execution_options(yield_per=1000)):
        held[protocol_id] += reserved
    for protocol_id, reserved in db.session.execute(select(Pool.protocol_id, Pool.reserved_minor)):
        if reserved != held[protocol_id]:
            needed = format_amount(held[protocol_id])
            yield protocol_id, f"{format_amount(reserved)} are reserved, for vulnerabilities {needed}"


def _charges() -> Iterator[Mismatch]:
    """Charges without their released payment, and released payments without a charge."""
    is_its_payment = and_(
        Payment.id == LedgerEntry.payment_id,
        Payment.protocol_id == LedgerEntry.protocol_id,
        Payment.vulnerability_id == LedgerEntry.vulnerability_id,
        Payment.amount_minor == LedgerEntry.amount_minor,
        _IS_RELEASED,
    )
    charges = select(LedgerEntry).outerjoin(Payment, is_its_payment).where(_IS_CHARGE, Payment.id.is_(None))
    for entry in db.session.scalars(charges):
        problem = f"charges payment {entry.payment_id}, which is not RELEASED with this amount"
        yield entry.protocol_id, f"entry {entry.id} {problem}"
    charge = and_(LedgerEntry.payment_id == Payment.id, _IS_CHARGE)
    payments = select(Payment).outerjoin(LedgerEntry, charge).where(_IS_RELEASED, LedgerEntry.id.is_(None))
    for payment in db.session.scalars(payments):
        yield payment.protocol_id, f"payment {payment.id} is RELEASED, and no entry charges it"


def _links() -> Iterator[Mismatch]:
    """Payments that are neither cancelled nor their vulnerability's, and vulnerabilities without such a payment."""
    is_its = and_(Payment.id == Vulnerability.payment_id, Payment.vulnerability_id == Vulnerability.id, _IS_LIVE)
    found = select(Vulnerability).outerjoin(Payment, is_its)
    for each in db.session.scalars(found.where(Vulnerability.payment_id.is_not(None), Payment.id.is_(None))):
        yield each.protocol_id, f"vulnerability {each.id} names payment {each.payment_id}, which is not its"
    payments = select(Payment).outerjoin(Vulnerability, is_its).where(_IS_LIVE, Vulnerability.id.is_(None))
    for payment in db.session.scalars(payments):
        yield payment.protocol_id, f"payment {payment.id} is {payment.status}, and its vulnerability does not name it"
