import re
from typing import ClassVar

from marshmallow import fields, validate

from app.core.pagination import PeriodQuery, page_schema
from app.core.schemas import CamelSchema, Choice, Identifier, Money, Name, NumberText, Timestamp, doc
from app.core.values import ENTRY, MOMENT, PAYMENT, PROTOCOL, VULNERABILITY
from app.protocols.rules import ChangeType

CURRENCY = doc("The currency of all amounts of the protocol; set when it is created.", "USDC")
VERSION = doc("Rises with every change; ignore one that is not higher than the version held.", "2")
_NAME = doc("The protocol's name, for display.", "Aave v3")
_IS_CURRENCY = validate.Regexp(r"\A[A-Z][A-Z0-9]{1,15}\Z", re.ASCII, error="Must be 2–16 capital letters or digits.")
_TOTAL = doc("Sum of all deposits; `available + reserved + paid`.", "25000.00")
_AVAILABLE = doc("`total - reserved - paid`; never negative.", "22500.00")
_RESERVED = doc("Reserved for pending validations and payments.", "2500.00")
_REFERENCE = doc("The depositor's reference, or the payout service's.", "treasury-2026-11")


class ProtocolCreate(CamelSchema):
    id = Identifier(load_default=None, metadata=doc("The protocol's id; generated when missing.", PROTOCOL))
    name = Name(required=True, metadata=_NAME)
    currency = fields.String(load_default="USDC", validate=_IS_CURRENCY, metadata=CURRENCY)


class ProtocolSchema(CamelSchema):
    id = fields.String(metadata=doc("The protocol's id.", PROTOCOL))
    name = fields.String(metadata=_NAME)
    currency = fields.String(metadata=CURRENCY)
    created_at = Timestamp(metadata=doc("When the protocol was created.", MOMENT))


ProtocolPage = page_schema(ProtocolSchema)


class DepositCreate(CamelSchema):
    amount = Money(required=True, metadata=doc("The amount to deposit; more than zero.", "25000.00"))
    reference = Name(load_default=None, allow_none=True, metadata=_REFERENCE)


class PoolTotals(CamelSchema):
    total = Money(attribute="total_minor", required=True, metadata=_TOTAL)
    available = Money(attribute="available_minor", required=True, metadata=_AVAILABLE)
    reserved = Money(attribute="reserved_minor", required=True, metadata=_RESERVED)
    paid = Money(attribute="paid_minor", required=True, metadata=doc("Sum of released payments.", "0.00"))


class PoolSchema(PoolTotals):
    class Meta(CamelSchema.Meta):
        fields: ClassVar[tuple[str, ...]] = (
            "protocol_id",
            "currency",
            "total",
            "available",
            "reserved",
            "paid",
            "version",
        )

    protocol_id = fields.String(metadata=doc("The protocol's id.", PROTOCOL))
    currency = fields.String(metadata=CURRENCY)
    version = NumberText(metadata=VERSION)


class LedgerQuery(PeriodQuery):
    change_type = Choice(ChangeType, load_default=None, metadata=doc("Only this kind of change."))


class LedgerEntrySchema(CamelSchema):
    """One change of a pool, with the pool's totals and version after it."""

    id = fields.String(metadata=doc("The entry's id.", ENTRY))
    protocol_id = fields.String(metadata=doc("The protocol's id.", PROTOCOL))
    change_type = Choice(ChangeType, metadata=doc("The kind of change.", "DEPOSIT"))
    amount = Money(attribute="amount_minor", metadata=doc("The amount of this change.", "25000.00"))
    total = Money(attribute="total_minor", metadata=doc("Sum of all deposits after this change.", "25000.00"))
    available = Money(
        attribute="available_minor", metadata=doc("`total - reserved - paid` after this change.", "25000.00")
    )
    reserved = Money(attribute="reserved_minor", metadata=doc("Reserved after this change.", "0.00"))
    paid = Money(attribute="paid_minor", metadata=doc("Sum of released payments after this change.", "0.00"))
    version = NumberText(metadata=doc("The pool's version after this change.", "1"))
    vulnerability_id = fields.String(allow_none=True, metadata=doc("The vulnerability that it is for.", None))
    payment_id = fields.String(allow_none=True, metadata=doc("The payment that it is for.", None))
    reference = fields.String(allow_none=True, metadata=_REFERENCE)
    actor = fields.String(metadata=doc("Who made the change: the token's `sub`, or `system`.", "owner-1"))
    created_at = Timestamp(metadata=doc("When the change was made.", MOMENT))


class DepositSchema(CamelSchema):
    entry = fields.Nested(LedgerEntrySchema)
    pool = fields.Nested(PoolSchema)


LedgerEntryPage = page_schema(LedgerEntrySchema)


class BountyPoolData(PoolTotals):
    """One change of a pool, with the pool's totals right after it."""

    change_type = Choice(ChangeType, required=True, metadata=doc("The kind of change.", "RESERVATION"))
    amount = Money(attribute="amount_minor", required=True, metadata=doc("The amount of this change.", "2500.00"))
    currency = fields.String(required=True, metadata=CURRENCY)
    version = NumberText(required=True, metadata=VERSION)
    vulnerability_id = fields.String(metadata=doc("The vulnerability that it is for.", VULNERABILITY))
    payment_id = fields.String(metadata=doc("The payment that it is for; see `GET /payments/{id}`.", PAYMENT))
    reference = fields.String(metadata=_REFERENCE)
