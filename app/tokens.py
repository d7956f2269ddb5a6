"""Revoking tokens: a row until the tokens have expired, an audit entry, and an announcement to each process."""

from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from sqlalchemy import select

from app.audit.service import AuditAction, record_audit
from app.auth import revocation
from app.auth.authorization import current_principal, requires
from app.auth.permissions import Action
from app.auth.revocation import MAX_REASON, RevokedToken
from app.auth.tokens import MAX_SUBJECT_LENGTH, MAX_TOKEN_ID_LENGTH
from app.core.database import transaction, utc_now
from app.core.pagination import Page, PageQuery, page_by_key, page_schema
from app.core.schemas import CamelSchema, Name, NumberText, Reason, Timestamp, doc
from app.core.values import LATER, MOMENT
from app.http.rest import Blueprint

blueprint = Blueprint("tokens", __name__, url_prefix="/api/v1/tokens", description="Revoked tokens")


class Revocation(CamelSchema):
    """Either `jti`, for one token, or `subject`, for all tokens issued to it until now."""

    jti = Name(load_default=None, longest=MAX_TOKEN_ID_LENGTH, metadata=doc("The `jti` of one token.", "0f8c2d4e6a"))
    subject = Name(load_default=None, longest=MAX_SUBJECT_LENGTH, metadata=doc("All tokens of this `sub`.", None))
    reason = Reason(MAX_REASON, metadata=doc("Why it is revoked.", "The laptop was lost."))
    expires_at = Timestamp(
        load_default=None,
        allow_none=True,
        metadata=doc(
            "The token's `exp`, if known: the revocation is deleted a day later. "
            "Otherwise it is kept for 401 days; no token is valid for more than 400.",
            LATER,
        ),
    )

    @validates_schema
    def _names_one(self, data: dict[str, Any], **_: Any) -> None:
        if (data["jti"] is None) == (data["subject"] is None):
            raise ValidationError("Name either a jti or a subject.", "jti")


class RevokedTokenSchema(CamelSchema):
    id = NumberText(metadata=doc("The revocation's number.", "3"))
    jti = fields.String(
        attribute="token_id",
        allow_none=True,
        metadata=doc("The token's `jti`; null for all tokens of `subject`.", "0f8c2d4e6a"),
    )
    subject = fields.String(allow_none=True, metadata=doc("The subject; null for a single token.", None))
    reason = fields.String(metadata=doc("Why it was revoked.", "The laptop was lost."))
    revoked_by = fields.String(metadata=doc("Who revoked it.", "admin-1"))
    revoked_at = Timestamp(metadata=doc("When it was revoked.", MOMENT))
    expires_at = Timestamp(allow_none=True, metadata=doc("When the revocation is no longer needed.", LATER))


@blueprint.post("/revoke")
@requires(Action.REVOKE_TOKEN)
@blueprint.arguments(Revocation)
@blueprint.response(201, RevokedTokenSchema)
def revoke_token(fields: dict[str, Any]) -> RevokedToken:
    """Revoke a token, or all tokens of a subject

    Name one token by its `jti`, or a `subject` to revoke all tokens issued to it until now.
    """
    jti, subject, now = fields["jti"], fields["subject"], utc_now()
    row = RevokedToken(
        token_id=jti,
        subject=subject,
        reason=fields["reason"],
        revoked_by=current_principal().subject,
        revoked_at=now,
        expires_at=revocation.expiry_of(now, fields["expires_at"] if jti else None),
    )
    with transaction() as session:
        session.add(row)
        after = {"jti": jti, "subject": subject, "reason": row.reason}
        record_audit(session, AuditAction.TOKEN_REVOKED, jti or subject or "", after=after)
    revocation.announce()
    return row


@blueprint.get("/revoked")
@requires(Action.REVOKE_TOKEN)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(RevokedTokenSchema))
def list_revoked(query: dict[str, Any]) -> Page:
    """List the revoked tokens, newest first

    Each is one token by its `jti`, or all tokens of a subject until then.
    """
    return page_by_key(select(RevokedToken), RevokedToken.id, **query)
