from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from app.auth.revocation import MAX_REASON
from app.auth.tokens import MAX_SUBJECT_LENGTH, MAX_TOKEN_ID_LENGTH
from app.core.pagination import page_schema
from app.core.schemas import CamelSchema, Name, NumberText, Reason, Timestamp


class Revocation(CamelSchema):
    """Either `jti`, for one token, or `subject`, for all that were issued to it until now."""

    jti = Name(load_default=None, longest=MAX_TOKEN_ID_LENGTH)
    subject = Name(load_default=None, longest=MAX_SUBJECT_LENGTH)
    reason = Reason(MAX_REASON)
    expires_at = Timestamp(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "The token's own `exp`, where it is known: the revocation is forgotten a day later. "
            "Otherwise it is kept for 401 days; no token counts longer than 400."
        },
    )

    @validates_schema
    def _names_one(self, data: dict[str, Any], **_: Any) -> None:
        if (data["jti"] is None) == (data["subject"] is None):
            raise ValidationError("Name either a jti or a subject.", "jti")


class RevokedTokenSchema(CamelSchema):
    id = NumberText()
    jti = fields.String(attribute="token_id", allow_none=True)
    subject = fields.String(allow_none=True)
    reason = fields.String()
    revoked_by = fields.String()
    revoked_at = Timestamp()
    expires_at = Timestamp(allow_none=True)


RevokedTokenPage = page_schema(RevokedTokenSchema)
