from marshmallow import ValidationError, fields, validate

from app.core.pagination import PeriodQuery, page_schema
from app.core.schemas import CamelSchema, Choice, Money, NumberText, Timestamp, doc
from app.core.values import MOMENT, PAYMENT, PROTOCOL, VULNERABILITY
from app.payments.rules import MAX_RECIPIENT, PaymentStatus, is_recipient
from app.protocols.schemas import CURRENCY

_HIDDEN = r"\x00-\x1f\x7f-\xa0\xad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ue000-\uf8ff\ufeff"
_RECIPIENT = rf"\A[^ {_HIDDEN}]([^{_HIDDEN}]{{0,{MAX_RECIPIENT - 2}}}[^ {_HIDDEN}])?\Z"


class _RecipientValidator(validate.Regexp):
    """Checks `is_recipient`; the pattern, an approximation of it, is for the API documents."""

    def __call__(self, value: str) -> str:  # type: ignore[override]
        if not is_recipient(value):
            raise ValidationError(self.error)
        return value


_IS_RECIPIENT = _RecipientValidator(
    _RECIPIENT,
    error=f"Must be 1 to {MAX_RECIPIENT} printable characters, none of them invisible, without blanks at the ends.",
)
_RECIPIENT_MEANING = doc(
    "Where the money goes, in the payout service's terms: printable characters only, without blanks at the ends.",
    "0x52908400098527886E0F7030069857D2",
)
_AMOUNT = doc("The amount to pay, at most the reserved bounty; without it the whole bounty.", "2500.00")
_REFUSAL = doc("Why the service refused; null otherwise.", None)
_LAST_ERROR = doc("Why the last attempt did not pay, also while it is retried; null if none failed.", None)


class PaymentCreate(CamelSchema):
    recipient = fields.String(required=True, validate=_IS_RECIPIENT, metadata=_RECIPIENT_MEANING)
    amount = Money(load_default=None, allow_none=True, metadata=_AMOUNT)


class PaymentQuery(PeriodQuery):
    status = Choice(PaymentStatus, load_default=None, metadata=doc("Only payments with this status."))


class PaymentSchema(CamelSchema):
    id = fields.String(metadata=doc("The payment's id.", PAYMENT))
    vulnerability_id = fields.String(metadata=doc("Id of the vulnerability that it pays for.", VULNERABILITY))
    protocol_id = fields.String(metadata=doc("The protocol's id.", PROTOCOL))
    amount = Money(attribute="amount_minor", metadata=doc("The amount to pay, as a decimal string.", "2500.00"))
    currency = fields.String(metadata=CURRENCY)
    recipient = fields.String(metadata=_RECIPIENT_MEANING)
    status = Choice(PaymentStatus, metadata=doc("A FAILED payment can be retried; RELEASED is final.", "PENDING"))
    failure_reason = fields.String(attribute="refusal_reason", allow_none=True, metadata=_REFUSAL)
    last_error = fields.String(attribute="failure_reason", allow_none=True, metadata=_LAST_ERROR)
    reference = fields.String(allow_none=True, metadata=doc("The payout service's reference.", None))
    attempts = NumberText(metadata=doc("How many times the payout service was called.", "0"))
    created_at = Timestamp(metadata=doc("When the payment was requested.", MOMENT))
    released_at = Timestamp(allow_none=True, metadata=doc("When the payment was released; null until then.", None))


PaymentPage = page_schema(PaymentSchema)
