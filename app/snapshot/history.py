"""The history of a vulnerability and its payments, from the audit log: who did what and when.

All who may read the vulnerability may read it, so it tells neither addresses of callers nor ids of tokens and requests.
"""

from typing import Any

from sqlalchemy import select

from app.audit.service import AuditAction, AuditEntry
from app.auth.tokens import Principal
from app.core.extensions import db
from app.core.pagination import Page, cursor_keys, page_of
from app.core.values import format_amount
from app.payments.models import Payment
from app.vulnerabilities import service as vulnerabilities
from app.vulnerabilities.models import Status, Vulnerability

MAX_PAYMENTS = 1000
_DETAILS = ("bounty", "reserved", "amount", "recipient", "reference", "attempts")


def read(vulnerability_id: str, principal: Principal, limit: int, cursor: list[Any] | None) -> Page:
    """Oldest first. Raises NotFound, InvalidInput."""
    vulnerability = vulnerabilities.get(vulnerability_id, principal)
    payment_ids = select(Payment.id).where(Payment.vulnerability_id == vulnerability.id).limit(MAX_PAYMENTS)
    targets = [vulnerability.id, *db.session.scalars(payment_ids)]
    # Entries about tokens have no protocol: an admin may have named a token like the vulnerability.
    query = select(AuditEntry).where(AuditEntry.protocol_id == vulnerability.protocol_id)
    query = query.where(AuditEntry.target_id.in_(targets))
    after = cursor_keys(cursor, int)
    if after:
        query = query.where(AuditEntry.id > after[0])
    entries = db.session.scalars(query.order_by(AuditEntry.id).limit(limit + 1))
    items = [_item(each, vulnerability.id) for each in entries]
    if not after and (not items or items[0]["action"] != AuditAction.VULNERABILITY_FILED):
        items.insert(0, _filing(vulnerability))
    return page_of(items, limit, lambda each: [each["id"]])


def _item(entry: AuditEntry, vulnerability_id: str) -> dict[str, Any]:
    before, after = entry.before or {}, entry.after or {}
    return {
        "id": entry.id,
        "at": entry.at,
        "action": entry.action,
        "subject": entry.subject,
        "role": entry.role,
        "old_status": before.get("status"),
        "new_status": after.get("status"),
        "payment_id": None if entry.target_id == vulnerability_id else entry.target_id,
        "reason": after.get("rejectionReason") or after.get("failureReason"),
        **{name: after.get(name) for name in _DETAILS},
    }


def _filing(vulnerability: Vulnerability) -> dict[str, Any]:
    """The filing, as the vulnerability itself tells of it: release 0.1 wrote no audit entry. Its role is unknown."""
    bounty = vulnerability.bounty_minor
    return dict.fromkeys((*_DETAILS, "role", "old_status", "payment_id", "reason")) | {
        "id": 0,
        "at": vulnerability.created_at,
        "action": AuditAction.VULNERABILITY_FILED,
        "subject": vulnerability.filed_by,
        "new_status": Status.PENDING.value,
        "bounty": None if bounty is None else format_amount(bounty),
    }
