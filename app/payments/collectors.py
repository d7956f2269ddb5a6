"""Gauges of payments and ledgers, read when `/metrics` is scraped, and the payments that `dashboard doctor` names."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import and_, func, or_, select

from app.core.database import utc_now
from app.core.extensions import db
from app.observability.collectors import Reading
from app.payments.models import IS_UNSETTLED, Payment
from app.payments.rules import PAID_NOT_RECORDED
from app.protocols.models import LedgerEntry, Pool, Protocol

UNPAID = ("PENDING", "PROCESSING", "FAILED")
STUCK_ATTEMPTS = 5
STUCK_SECONDS = 300
_IS_NOT_RECORDED = Payment.failure_reason.startswith(PAID_NOT_RECORDED)


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
    not_recorded = select(func.count()).select_from(Payment).where(IS_UNSETTLED, _IS_NOT_RECORDED)
    paid = {"": float(db.session.execute(not_recorded).scalar_one())}
    return [
        Reading("dashboard_payments_not_recorded", "Payments that were paid and could not be recorded", paid),
        Reading("dashboard_payments_waiting", "Payments that are not released, by status", counts, "status"),
        Reading("dashboard_payments_oldest_seconds", "Age of the oldest of them", ages, "status"),
    ]


def read_ledger() -> list[Reading]:
    """Compares each pool with its newest entry only; `dashboard doctor` adds up all of them. Raises SQLAlchemyError."""
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
    return [Reading("dashboard_ledger_mismatches", "Pools that disagree with their ledger or are gone", {"": count})]


def stuck_payments(limit: int) -> Sequence[Payment]:
    """Unsettled payments that are old, were tried often, or were paid but not recorded; the oldest first."""
    is_old = Payment.created_at < utc_now() - timedelta(seconds=STUCK_SECONDS)
    is_stuck = or_(is_old, Payment.attempts >= STUCK_ATTEMPTS, _IS_NOT_RECORDED)
    query = select(Payment).where(IS_UNSETTLED, is_stuck).order_by(Payment.created_at).limit(limit)
    return db.session.scalars(query).all()
