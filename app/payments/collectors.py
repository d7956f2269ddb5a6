"""Payments that are not made yet, and for how long: read when `/metrics` or `dashboard doctor` asks."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, or_, select

from app.core.database import utc_now
from app.core.extensions import db
from app.observability.collectors import Reading
from app.payments.models import IS_UNSETTLED, Payment
from app.payments.rules import PAID_NOT_RECORDED

UNSETTLED = ("PENDING", "PROCESSING", "FAILED")
STUCK_ATTEMPTS = 5
STUCK_SECONDS = 300
_IS_NOT_RECORDED = Payment.failure_reason.startswith(PAID_NOT_RECORDED)


def read_payments() -> list[Reading]:
    """Raises SQLAlchemyError."""
    by_status = (
        select(Payment.status, func.count(), func.min(Payment.created_at))
        .where(Payment.status.in_(UNSETTLED))
        .group_by(Payment.status)
    )
    now, rows = utc_now(), {row[0]: row for row in db.session.execute(by_status)}
    counts = {status: float(rows[status][1]) if status in rows else 0.0 for status in UNSETTLED}
    ages = {status: (now - rows[status][2]).total_seconds() if status in rows else 0.0 for status in UNSETTLED}
    not_recorded = select(func.count()).select_from(Payment).where(IS_UNSETTLED, _IS_NOT_RECORDED)
    paid = {"": float(db.session.execute(not_recorded).scalar_one())}
    return [
        Reading("dashboard_payments_not_recorded", "Payments that were paid and could not be recorded", paid),
        Reading("dashboard_payments_waiting", "Payments that are not made", counts, "status"),
        Reading("dashboard_payments_oldest_seconds", "Age of the oldest of them", ages, "status"),
    ]


def stuck_payments(limit: int) -> Sequence[Payment]:
    """Payments that time alone does not seem to settle, the oldest first."""
    is_old = Payment.created_at < utc_now() - timedelta(seconds=STUCK_SECONDS)
    is_stuck = or_(is_old, Payment.attempts >= STUCK_ATTEMPTS, _IS_NOT_RECORDED)
    query = select(Payment).where(IS_UNSETTLED, is_stuck).order_by(Payment.created_at).limit(limit)
    return db.session.scalars(query).all()
