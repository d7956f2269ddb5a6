from marshmallow import ValidationError, fields, validate

from app.core.pagination import page_schema
from app.core.schemas import CamelSchema, Money, NumberText, Timestamp
from app.payments.rules import MAX_RECIPIENT, PaymentStatus, is_recipient

_HIDDEN = r"\x00-\x1f\x7f-\xa0\xad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ue000-\uf8ff\ufeff"
_RECIPIENT = rf"\A[^ {_HIDDEN}]([^{_HIDDEN}]{{0,{MAX_RECIPIENT - 2}}}[^ {_HIDDEN}])?\Z"


class _Recipient(validate.Regexp):
    """The pattern is for the documents: as much of `is_recipient` as a pattern can say."""

    def __call__(self, value: str) -> str:  # type: ignore[override]
        if not is_recipient(value):
            raise ValidationError(self.error)
        return value


_CAN_BE_SEEN = _Recipient(
    _RECIPIENT,
    error=f"Must be 1 to {MAX_RECIPIENT} printable characters, none of them invisible, without blanks at the ends.",
)


class PaymentCreate(CamelSchema):
    recipient = fields.String(required=True, validate=_CAN_BE_SEEN)
    amount = Money(load_default=None, allow_none=True)


class PaymentSchema(CamelSchema):
    id = fields.String()
    vulnerability_id = fields.String()
    protocol_id = fields.String()
    amount = Money(attribute="amount_minor")
    currency = fields.String()
    recipient = fields.String()
    status = fields.String(validate=validate.OneOf(list(PaymentStatus)))
    failure_reason = fields.String(attribute="refusal", allow_none=True)
    last_error = fields.String(attribute="failure_reason", allow_none=True)
    reference = fields.String(allow_none=True, metadata={"description": "the payout service's own"})
    attempts = NumberText()
    created_at = Timestamp()
    released_at = Timestamp(allow_none=True)


PaymentPage = page_schema(PaymentSchema)
