from marshmallow import ValidationError, fields, validate

from app.core.pagination import PeriodQuery, page_schema
from app.core.schemas import CamelSchema, Choice, Money, NumberText, Timestamp, doc
from app.core.values import MOMENT, PAYMENT, PROTOCOL, VULNERABILITY
from app.payments.rules import MAX_RECIPIENT, OLD_STATUSES, TOLD_STATUSES, PaymentStatus, is_recipient
from app.protocols.schemas import CURRENCY, VERSION

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
_ID = doc("The payment's id.", PAYMENT)
_VULNERABILITY = doc("Id of the vulnerability that it pays for.", VULNERABILITY)
_AMOUNT_PAID = doc("The amount to pay, as a decimal string.", "2500.00")
_REFUSAL = doc("Why the service refused for good, if FAILED or CANCELLED; null otherwise.", None)
_ATTEMPTS = doc("How many times the payout service was called.", "0")
_NEXT_ATTEMPT = doc("When it is tried again after an attempt that did not pay; null while none is planned.", None)
_MAY_BE_PAID = doc(
    "Whether the money may have moved: the outcome of an attempt is unknown. A FAILED payment can then be retried, but "
    "neither sent to another recipient nor cancelled.",
    False,
)
_STATUS = doc("A FAILED payment can be retried or cancelled; RELEASED and CANCELLED are final.", "PENDING")
_LAST_ERROR = doc("Why the last attempt did not pay, also while it is retried; null if none failed.", None)


class PaymentCreate(CamelSchema):
    recipient = fields.String(required=True, validate=_IS_RECIPIENT, metadata=_RECIPIENT_MEANING)
    amount = Money(load_default=None, allow_none=True, metadata=_AMOUNT)


class PaymentRetry(CamelSchema):
    recipient = fields.String(
        load_default=None,
        allow_none=True,
        validate=_IS_RECIPIENT,
        metadata=doc("Another recipient; without it the payment's own.", "0x52908400098527886E0F7030069857D2"),
    )


class PaymentCancel(CamelSchema):
    """No members: a body that was meant for another operation does not cancel a payment."""


class PaymentQuery(PeriodQuery):
    status = Choice(PaymentStatus, load_default=None, metadata=doc("Only payments with this status."))


class PaymentSchema(CamelSchema):
    id = fields.String(metadata=_ID)
    vulnerability_id = fields.String(metadata=_VULNERABILITY)
    protocol_id = fields.String(metadata=doc("The protocol's id.", PROTOCOL))
    amount = Money(attribute="amount_minor", metadata=_AMOUNT_PAID)
    currency = fields.String(metadata=CURRENCY)
    recipient = fields.String(metadata=_RECIPIENT_MEANING)
    status = Choice(PaymentStatus, metadata=_STATUS)
    failure_reason = fields.String(attribute="refusal_reason", allow_none=True, metadata=_REFUSAL)
    last_error = fields.String(attribute="failure_reason", allow_none=True, metadata=_LAST_ERROR)
    reference = fields.String(allow_none=True, metadata=doc("The payout service's reference.", None))
    attempts = NumberText(metadata=_ATTEMPTS)
    next_attempt_at = Timestamp(allow_none=True, metadata=_NEXT_ATTEMPT)
    may_be_paid = fields.Boolean(metadata=_MAY_BE_PAID)
    version = NumberText(metadata=VERSION)
    created_at = Timestamp(metadata=doc("When the payment was requested.", MOMENT))
    released_at = Timestamp(allow_none=True, metadata=doc("When the payment was released; null until then.", None))


PaymentPage = page_schema(PaymentSchema)


_OLD_STATUS = doc("The status before; null when the payment was requested just now.", None)
_NEW_STATUS = doc("The status now. PROCESSING, which every attempt passes through, is not told.", "PENDING")


class PaymentStatusData(CamelSchema):
    """A payment that was requested, retried, refused, paid or cancelled."""

    payment_id = fields.String(required=True, attribute="id", metadata=_ID)
    vulnerability_id = fields.String(required=True, metadata=_VULNERABILITY)
    old_status = Choice(OLD_STATUSES, required=True, allow_none=True, metadata=_OLD_STATUS)
    new_status = Choice(TOLD_STATUSES, required=True, attribute="status", metadata=_NEW_STATUS)
    amount = Money(required=True, attribute="amount_minor", metadata=_AMOUNT_PAID)
    currency = fields.String(required=True, metadata=CURRENCY)
    failure_reason = fields.String(required=True, attribute="refusal_reason", allow_none=True, metadata=_REFUSAL)
    attempts = NumberText(required=True, metadata=_ATTEMPTS)
    version = NumberText(required=True, metadata=VERSION)
    changed_at = Timestamp(required=True, metadata=doc("When the status changed.", MOMENT))
