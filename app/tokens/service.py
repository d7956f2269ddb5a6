"""Tokens are revoked, never deleted: each revocation is a row, an audit entry and news for every process."""

from typing import Any

from sqlalchemy import select

from app.audit.service import Audited, record
from app.auth import revocation
from app.auth.revocation import RevokedToken
from app.auth.tokens import Principal
from app.database import transaction, utc_now
from app.extensions import db
from app.paging import Page, cursor_keys, page_of


def revoke(jti: str | None, subject: str | None, reason: str, principal: Principal) -> RevokedToken:
    """Refuse a token, or all of a subject's until now; open sockets end within seconds."""
    row = RevokedToken(token_id=jti, subject=subject, reason=reason, revoked_by=principal.subject, revoked_at=utc_now())
    with transaction() as session:
        session.add(row)
        after = {"jti": jti, "subject": subject, "reason": reason}
        record(session, Audited.TOKEN_REVOKED, jti or subject or "", after=after)
    revocation.announce()
    return row


def list_revoked(limit: int, cursor: list[Any] | None) -> Page:
    """Newest first."""
    query = select(RevokedToken).order_by(RevokedToken.id.desc()).limit(limit + 1)
    after = cursor_keys(cursor, int)
    if after:
        query = query.where(RevokedToken.id < after[0])
    return page_of(list(db.session.scalars(query)), limit, lambda row: [row.id])
