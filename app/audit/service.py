"""The audit log: one row in the same transaction as the action, so neither exists without the other."""

from enum import StrEnum
from typing import Any

from flask import g, has_request_context, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit.models import AuditEntry
from app.core.database import utc_now
from app.core.pagination import Page, page_by_key
from app.core.values import to_wire

SYSTEM = "system"
MAX_ADDRESS = 64


class AuditAction(StrEnum):
    DEPOSIT = "DEPOSIT"
    VULNERABILITY_CONFIRMED = "VULNERABILITY_CONFIRMED"
    VULNERABILITY_REJECTED = "VULNERABILITY_REJECTED"
    PAYMENT_REQUESTED = "PAYMENT_REQUESTED"
    PAYMENT_RETRIED = "PAYMENT_RETRIED"
    PAYMENT_RELEASED = "PAYMENT_RELEASED"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    TOKEN_REVOKED = "TOKEN_REVOKED"  # noqa: S105 - the name of an action, not a secret


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
    session.add(
        AuditEntry(
            at=utc_now(),
            action=action.value,
            protocol_id=protocol_id,
            target_id=target_id,
            before=to_wire(before),
            after=to_wire(after),
            **_actor(),
        )
    )


def list_all(
    *, protocol_id: str | None, subject: str | None, action: str | None, limit: int, cursor: list[Any] | None
) -> Page:
    """Newest first."""
    query = select(AuditEntry)
    filters = {AuditEntry.protocol_id: protocol_id, AuditEntry.subject: subject, AuditEntry.action: action}
    for column, value in filters.items():
        if value is not None:
            query = query.where(column == value)
    return page_by_key(query, AuditEntry.id, limit, cursor)


def _actor() -> dict[str, Any]:
    if not has_request_context():
        return {"subject": SYSTEM, "role": SYSTEM, "token_id": None, "address": None, "request_id": ""}
    return {
        "subject": g.principal.subject,
        "role": g.principal.role.value,
        "token_id": g.principal.token_id,
        "address": (request.remote_addr or "")[:MAX_ADDRESS],
        "request_id": g.get("request_id", ""),
    }
