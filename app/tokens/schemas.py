from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from app.auth.revocation import MAX_REASON
from app.auth.tokens import MAX_SUBJECT_LENGTH, MAX_TOKEN_ID_LENGTH
from app.core.pagination import page_schema
from app.core.schemas import CamelSchema, Name, NumberText, Reason, Timestamp, doc
from app.core.values import LATER, MOMENT


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


RevokedTokenPage = page_schema(RevokedTokenSchema)
