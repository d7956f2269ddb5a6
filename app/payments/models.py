"""Payments of bounties to researchers."""

from datetime import UTC, datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.extensions import Base
from app.core.sql_types import MinorUnits, UtcDateTime
from app.payments.rules import PaymentStatus

IS_UNSETTLED = text("status IN ('PENDING','PROCESSING')")  # SQLite uses a partial index only for the same text
_IS_NOT_CANCELLED = text("status <> 'CANCELLED'")
_STATUSES = ",".join(f"'{status}'" for status in PaymentStatus)
IS_UNPAID = text("status IN ('PENDING','PROCESSING','FAILED')")
AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)  # due by any clock


class Payment(Base):
    """One per vulnerability, besides cancelled ones.

    `due_at`: when the next attempt may start or, while PROCESSING, when the lease expires; by the database's clock.
    `failure_reason`: why the last attempt did not pay, also while it is being retried.
    `recipient_number`: 1, and one more for each other recipient; the payout service knows each by a key of its own.
    `unpaid_attempts`: so many attempts, counted from the first, have certainly moved no money.
    `version`: rises with every change that clients can see.
    """

    __tablename__ = "payments"
    __table_args__ = (
        Index(
            "uq_payments_vulnerability",
            "vulnerability_id",
            unique=True,
            sqlite_where=_IS_NOT_CANCELLED,
            postgresql_where=_IS_NOT_CANCELLED,
        ),
        Index("ix_payments_vulnerability", "vulnerability_id"),
        Index("ix_payments_protocol", "protocol_id", "id"),
        Index("ix_payments_status", "protocol_id", "status", "id"),
        Index("ix_payments_released", "protocol_id", "released_at"),
        Index("ix_payments_due", "due_at", sqlite_where=IS_UNSETTLED, postgresql_where=IS_UNSETTLED),
        Index("ix_payments_unpaid", "protocol_id", "status", sqlite_where=IS_UNPAID, postgresql_where=IS_UNPAID),
        CheckConstraint("amount_minor > 0", name="ck_payments_amount"),
        CheckConstraint(f"status IN ({_STATUSES})", name="ck_payments_status"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    vulnerability_id: Mapped[str] = mapped_column(ForeignKey("vulnerabilities.id"))
    protocol_id: Mapped[str] = mapped_column(ForeignKey("protocols.id"))
    amount_minor: Mapped[int] = mapped_column(MinorUnits)
    currency: Mapped[str] = mapped_column(String(16))
    recipient: Mapped[str] = mapped_column(String(128))
    recipient_number: Mapped[int] = mapped_column(Integer, server_default="1")
    status: Mapped[str] = mapped_column(String(16))
    failure_reason: Mapped[str | None] = mapped_column(String(500))
    reference: Mapped[str | None] = mapped_column(String(200))
    attempts: Mapped[int] = mapped_column(Integer)
    unpaid_attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    version: Mapped[int] = mapped_column(BigInteger, server_default="1")
    requested_by: Mapped[str] = mapped_column(String(128))
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    released_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def refusal_reason(self) -> str | None:
        """Why the payout service refused for good."""
        is_refused = self.status in (PaymentStatus.FAILED, PaymentStatus.CANCELLED)
        return self.failure_reason if is_refused else None

    @property
    def next_attempt_at(self) -> datetime | None:
        """When a payment whose attempt failed is due again; None while no attempt is planned."""
        is_planned = self.status == PaymentStatus.PENDING and self.attempts > 0 and self.due_at > AT_ONCE
        return self.due_at if is_planned else None

    @property
    def may_be_paid(self) -> bool:
        """Whether the money of an unfinished payment may have moved: an attempt's outcome is not known or recorded."""
        is_finished = self.status in (PaymentStatus.RELEASED, PaymentStatus.CANCELLED)
        return not is_finished and (self.reference is not None or self.unpaid_attempts < self.attempts)
