from marshmallow import ValidationError, fields, validate

from app.core.examples import MOMENT, PAYMENT, PROTOCOL, VULNERABILITY
from app.core.pagination import page_schema
from app.core.schemas import CamelSchema, Money, NumberText, Timestamp, doc
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
    recipient = fields.String(
        required=True,
        validate=_CAN_BE_SEEN,
        metadata=doc(
            "Where the money goes, as the payout service understands it: printable characters alone, no blank at either end.",
            "0x52908400098527886E0F7030069857D2",
        ),
    )
    amount = Money(
        load_default=None, allow_none=True, metadata=doc("An amount of money, as a decimal string.", "2500.00")
    )


class PaymentSchema(CamelSchema):
    id = fields.String(metadata=doc("The payment's id.", PAYMENT))
    vulnerability_id = fields.String(metadata=doc("Id of the vulnerability it is about.", VULNERABILITY))
    protocol_id = fields.String(metadata=doc("Id of the protocol it belongs to.", PROTOCOL))
    amount = Money(attribute="amount_minor", metadata=doc("An amount of money, as a decimal string.", "2500.00"))
    currency = fields.String(
        metadata=doc("What all amounts of the protocol are in; set once, when it is created.", "USDC")
    )
    recipient = fields.String(
        metadata=doc(
            "Where the money goes, as the payout service understands it: printable characters alone, no blank at either end.",
            "0x52908400098527886E0F7030069857D2",
        )
    )
    status = fields.String(
        validate=validate.OneOf(list(PaymentStatus)),
        metadata=doc("FAILED can be tried again; RELEASED is for good.", "PENDING"),
    )
    failure_reason = fields.String(
        attribute="refusal", allow_none=True, metadata=doc("Why the payout service refused; null otherwise.", None)
    )
    last_error = fields.String(
        attribute="failure_reason",
        allow_none=True,
        metadata=doc("Why the last attempt did not pay, also while it is tried again; null where none failed.", None),
    )
    reference = fields.String(allow_none=True, metadata=doc("the payout service's own", None))
    attempts = NumberText(metadata=doc("How often the payout service was asked.", "0"))
    created_at = Timestamp(metadata=doc("When it was made.", MOMENT))
    released_at = Timestamp(allow_none=True, metadata=doc("When it was paid; null until then.", None))


PaymentPage = page_schema(PaymentSchema)
