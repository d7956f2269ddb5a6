"""Revoking tokens: a row until the tokens have expired, an audit entry, and an announcement to each process."""

from typing import Any

from sqlalchemy import select

from app.audit.service import AuditAction, record_audit
from app.auth import revocation
from app.auth.revocation import RevokedToken
from app.auth.tokens import Principal
from app.core.database import transaction, utc_now
from app.core.pagination import Page, page_by_key


def revoke(fields: dict[str, Any], principal: Principal) -> RevokedToken:
    """Revoke a token, or all of a subject's until now; open connections end within seconds."""
    jti, subject, reason, now = fields["jti"], fields["subject"], fields["reason"], utc_now()
    row = RevokedToken(
        token_id=jti,
        subject=subject,
        reason=reason,
        revoked_by=principal.subject,
        revoked_at=now,
        expires_at=revocation.expiry_of(now, fields["expires_at"] if jti else None),
    )
    with transaction() as session:
        session.add(row)
        after = {"jti": jti, "subject": subject, "reason": reason}
        record_audit(session, AuditAction.TOKEN_REVOKED, jti or subject or "", after=after)
    revocation.announce()
    return row


def list_revoked(limit: int, cursor: list[Any] | None) -> Page:
    """Newest first."""
    return page_by_key(select(RevokedToken), RevokedToken.id, limit, cursor)
