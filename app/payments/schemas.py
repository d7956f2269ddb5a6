import re

from marshmallow import fields, validate

from app.paging import page_schema
from app.payments.rules import PaymentStatus
from app.schemas import CamelSchema, Money, NumberText, Text, Timestamp

_PRINTABLE = validate.Regexp(
    re.compile(r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,128}\Z"), error="Must be 1 to 128 printable characters."
)


class PaymentCreate(CamelSchema):
    recipient = Text(required=True, validate=_PRINTABLE)
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
