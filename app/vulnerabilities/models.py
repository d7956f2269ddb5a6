"""Vulnerabilities filed against a protocol: PENDING → CONFIRMED → PAID, or PENDING → REJECTED; nothing else."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.extensions import Base
from app.core.sql_types import MinorUnits, UtcDateTime


class Severity(StrEnum):
    """Most severe first."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"
    INFO = "INFO"

    @property
    def rank(self) -> int:
        """0 for the most severe."""
        return list(Severity).index(self)


class Status(StrEnum):
    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    PAID = "PAID"


PREVIOUS = {Status.CONFIRMED: Status.PENDING, Status.REJECTED: Status.PENDING, Status.PAID: Status.CONFIRMED}


IS_OPEN = text("status IN ('PENDING','CONFIRMED')")  # SQLite uses a partial index only for the same text
HAS_RESERVATION = text("reserved_minor > 0")


class Vulnerability(Base):
    """`bounty_minor` is the promised amount, `reserved_minor` the amount reserved in the pool now.

    Ids are time-ordered UUIDs, so their order is the order of filing.
    """

    __tablename__ = "vulnerabilities"
    __table_args__ = (
        Index("ix_vulnerabilities_protocol", "protocol_id", "id"),
        Index("ix_vulnerabilities_severity", "protocol_id", "severity_rank", "id"),
        Index("ix_vulnerabilities_status", "protocol_id", "status", "id"),
        Index(
            "ix_vulnerabilities_reserved",
            "protocol_id",
            "id",
            sqlite_where=HAS_RESERVATION,
            postgresql_where=HAS_RESERVATION,
        ),
        Index(
            "ix_vulnerabilities_open",
            "protocol_id",
            "status",
            "severity",
            sqlite_where=IS_OPEN,
            postgresql_where=IS_OPEN,
        ),
        CheckConstraint("status IN ('PENDING','CONFIRMED','REJECTED','PAID')", name="ck_vulnerabilities_status"),
        CheckConstraint("reserved_minor >= 0", name="ck_vulnerabilities_reserved"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    protocol_id: Mapped[str] = mapped_column(ForeignKey("protocols.id"))
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str | None] = mapped_column(Text)
    severity: Mapped[str] = mapped_column(String(16))
    severity_rank: Mapped[int] = mapped_column(SmallInteger)
    status: Mapped[str] = mapped_column(String(16))
    bounty_minor: Mapped[int | None] = mapped_column(MinorUnits)
    reserved_minor: Mapped[int] = mapped_column(MinorUnits)
    agent_id: Mapped[str | None] = mapped_column(String(64))
    filed_by: Mapped[str] = mapped_column(String(128))
    decided_by: Mapped[str | None] = mapped_column(String(128))
    rejection_reason: Mapped[str | None] = mapped_column(Text)
    payment_id: Mapped[str | None] = mapped_column(String(36))
    version: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
