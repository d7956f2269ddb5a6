"""Payments that are not made yet, and for how long: read when `/metrics` is asked for."""

from sqlalchemy import func, select

from app.database import utc_now
from app.extensions import db
from app.observability.state import Reading
from app.payments.models import Payment

UNSETTLED = ("PENDING", "PROCESSING", "FAILED")


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
    return [
        Reading("dashboard_payments_waiting", "Payments that are not made", counts, "status"),
        Reading("dashboard_payments_oldest_seconds", "Age of the oldest of them", ages, "status"),
    ]
