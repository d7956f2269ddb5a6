"""The audit log: one row in the same transaction as the action, so neither exists without the other."""

from datetime import datetime
from enum import StrEnum
from typing import Any, cast

from flask import g, has_request_context, request
from sqlalchemy import JSON, BigInteger, Index, Integer, String, Table, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.core.database import utc_now
from app.core.extensions import Base
from app.core.final_writes import Write, write_before_commit
from app.core.pagination import Page, page_by_key
from app.core.sql_types import UtcDateTime
from app.core.values import to_wire

SYSTEM = "system"
MAX_ADDRESS = 64


class AuditAction(StrEnum):
    DEPOSIT = "DEPOSIT"
    VULNERABILITY_FILED = "VULNERABILITY_FILED"
    VULNERABILITY_CONFIRMED = "VULNERABILITY_CONFIRMED"
    VULNERABILITY_REJECTED = "VULNERABILITY_REJECTED"
    PAYMENT_REQUESTED = "PAYMENT_REQUESTED"
    PAYMENT_RETRIED = "PAYMENT_RETRIED"
    PAYMENT_RELEASED = "PAYMENT_RELEASED"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    PAYMENT_CANCELLED = "PAYMENT_CANCELLED"
    TOKEN_ISSUED = "TOKEN_ISSUED"  # noqa: S105 - the name of an action, not a secret
    TOKEN_REVOKED = "TOKEN_REVOKED"  # noqa: S105 - the name of an action, not a secret
    WEBHOOK_CREATED = "WEBHOOK_CREATED"
    WEBHOOK_DELETED = "WEBHOOK_DELETED"
    WEBHOOK_ENABLED = "WEBHOOK_ENABLED"
    WEBHOOK_DISABLED = "WEBHOOK_DISABLED"
    WEBHOOK_SECRET_ROTATED = "WEBHOOK_SECRET_ROTATED"  # noqa: S105 - the name of an action, not a secret
    WEBHOOK_TESTED = "WEBHOOK_TESTED"
    WEBHOOK_REDELIVERED = "WEBHOOK_REDELIVERED"


class AuditEntry(Base):
    """One action: who did what, and from where. Triggers refuse to change or delete rows (migration 0003)."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_protocol", "protocol_id", "id"),
        Index("ix_audit_entries_subject", "subject", "id"),
        Index("ix_audit_entries_target", "target_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    action: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(128))
    role: Mapped[str] = mapped_column(String(16))
    token_id: Mapped[str | None] = mapped_column(String(255))
    address: Mapped[str | None] = mapped_column(String(MAX_ADDRESS))
    request_id: Mapped[str] = mapped_column(String(64))
    protocol_id: Mapped[str | None] = mapped_column(String(64))
    target_id: Mapped[str] = mapped_column(String(255))
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON)


_entries = cast(Table, AuditEntry.__table__)


def record_audit(
    session: Session,
    action: AuditAction,
    target_id: str,
    *,
    protocol_id: str | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Add an entry to the caller's transaction. The actor is the request's caller; in a job it is the system."""
    actor: dict[str, Any] = {"subject": SYSTEM, "role": SYSTEM, "request_id": ""}
    if has_request_context():
        actor = {
            "subject": g.principal.subject,
            "role": g.principal.role.value,
            "token_id": g.principal.token_id,
            "address": (request.remote_addr or "")[:MAX_ADDRESS],
            "request_id": g.get("request_id", ""),
        }
    entry = {
        "at": utc_now(),
        "action": action.value,
        "protocol_id": protocol_id,
        "target_id": target_id,
        "before": to_wire(before),
        "after": to_wire(after),
    }
    write_before_commit(session, Write(_entries, [actor | entry]))


def list_all(*, limit: int, cursor: list[Any] | None, **filters: str | None) -> Page:
    """Newest first."""
    given = {column: value for column, value in filters.items() if value is not None}
    return page_by_key(select(AuditEntry).filter_by(**given), AuditEntry.id, limit, cursor)
