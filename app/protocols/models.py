"""Protocols, their bounty pools, and the pools' append-only ledger."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.extensions import Base
from app.core.sql_types import MinorUnits, UtcDateTime

_IS_CHARGE = text("change_type = 'PAYMENT_RELEASED'")


class Protocol(Base):
    """Has a bounty pool, vulnerabilities, payments and a room."""

    __tablename__ = "protocols"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    currency: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class _Totals:
    """A pool's totals in minor units; what is neither reserved nor paid is available."""

    total_minor: Mapped[int] = mapped_column(MinorUnits)
    reserved_minor: Mapped[int] = mapped_column(MinorUnits)
    paid_minor: Mapped[int] = mapped_column(MinorUnits)

    @property
    def available_minor(self) -> int:
        return self.total_minor - self.reserved_minor - self.paid_minor


class Pool(_Totals, Base):
    """A protocol's funds; `version` is the number of its ledger entries."""

    __tablename__ = "bounty_pools"
    __table_args__ = (
        CheckConstraint("reserved_minor >= 0", name="ck_bounty_pools_reserved"),
        CheckConstraint("paid_minor >= 0", name="ck_bounty_pools_paid"),
        CheckConstraint("total_minor - reserved_minor - paid_minor >= 0", name="ck_bounty_pools_available"),
    )

    protocol_id: Mapped[str] = mapped_column(ForeignKey("protocols.id"), primary_key=True)
    currency: Mapped[str] = mapped_column(String(16))
    version: Mapped[int] = mapped_column(BigInteger)


class LedgerEntry(_Totals, Base):
    """One change of a pool, with the totals after it. Triggers refuse to change or delete rows (migration 0006)."""

    __tablename__ = "bounty_entries"
    __table_args__ = (
        UniqueConstraint("protocol_id", "version", name="uq_bounty_entries_version"),
        Index(
            "uq_bounty_entries_payment", "payment_id", unique=True, sqlite_where=_IS_CHARGE, postgresql_where=_IS_CHARGE
        ),
        CheckConstraint("amount_minor > 0", name="ck_bounty_entries_amount"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    protocol_id: Mapped[str] = mapped_column(ForeignKey("bounty_pools.protocol_id"))
    version: Mapped[int] = mapped_column(BigInteger)
    change_type: Mapped[str] = mapped_column(String(24))
    amount_minor: Mapped[int] = mapped_column(MinorUnits)
    vulnerability_id: Mapped[str | None] = mapped_column(String(36))
    payment_id: Mapped[str | None] = mapped_column(String(36))
    reference: Mapped[str | None] = mapped_column(String(200))
    actor: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
