"""Payments of bounties to researchers."""

from datetime import UTC, datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import MinorUnits, UtcDateTime
from app.core.extensions import Base
from app.payments.rules import PaymentStatus

IS_UNSETTLED = text("status IN ('PENDING','PROCESSING')")  # SQLite uses a partial index only for the same text
IS_UNPAID = text("status IN ('PENDING','PROCESSING','FAILED')")
AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)  # due by any clock


class Payment(Base):
    """One per vulnerability.

    `due_at`: when the next attempt may start or, while PROCESSING, when the lease expires; by the database's clock.
    `failure_reason`: why the last attempt did not pay, also while it is being retried.
    """

    __tablename__ = "payments"
    __table_args__ = (
        UniqueConstraint("vulnerability_id", name="uq_payments_vulnerability"),
        Index("ix_payments_protocol", "protocol_id", "id"),
        Index("ix_payments_released", "protocol_id", "released_at"),
        Index("ix_payments_due", "due_at", sqlite_where=IS_UNSETTLED, postgresql_where=IS_UNSETTLED),
        Index("ix_payments_unpaid", "protocol_id", "status", sqlite_where=IS_UNPAID, postgresql_where=IS_UNPAID),
        CheckConstraint("amount_minor > 0", name="ck_payments_amount"),
        CheckConstraint("status IN ('PENDING','PROCESSING','RELEASED','FAILED')", name="ck_payments_status"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    vulnerability_id: Mapped[str] = mapped_column(ForeignKey("vulnerabilities.id"))
    protocol_id: Mapped[str] = mapped_column(ForeignKey("protocols.id"))
    amount_minor: Mapped[int] = mapped_column(MinorUnits)
    currency: Mapped[str] = mapped_column(String(16))
    recipient: Mapped[str] = mapped_column(String(128))
    status: Mapped[str] = mapped_column(String(16))
    failure_reason: Mapped[str | None] = mapped_column(String(500))
    reference: Mapped[str | None] = mapped_column(String(200))
    attempts: Mapped[int] = mapped_column(Integer)
    requested_by: Mapped[str] = mapped_column(String(128))
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    released_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def refusal_reason(self) -> str | None:
        """Why the payout service refused for good."""
        return self.failure_reason if self.status == PaymentStatus.FAILED else None
