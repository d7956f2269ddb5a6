from marshmallow import fields, validate

from app.bounties.rules import ChangeType
from app.core.examples import ENTRY, MOMENT, PAYMENT, PROTOCOL, VULNERABILITY
from app.core.pagination import page_schema
from app.core.schemas import CamelSchema, Money, Name, NumberText, Timestamp, doc


class DepositCreate(CamelSchema):
    amount = Money(required=True, metadata=doc("How much; more than zero.", "25000.00"))
    reference = Name(
        load_default=None,
        allow_none=True,
        metadata=doc("A reference of the sender's, or of the payout service.", "treasury-2026-11"),
    )


class PoolSchema(CamelSchema):
    protocol_id = fields.String(metadata=doc("Id of the protocol it belongs to.", PROTOCOL))
    currency = fields.String(
        metadata=doc("What all amounts of the protocol are in; set once, when it is created.", "USDC")
    )
    total = Money(
        attribute="total_minor", metadata=doc("Sum of all deposits; `available + reserved + paid`.", "25000.00")
    )
    available = Money(
        attribute="available_minor", metadata=doc("`total - reserved - paid`; never negative.", "22500.00")
    )
    reserved = Money(attribute="reserved_minor", metadata=doc("Held for pending validations and payments.", "2500.00"))
    paid = Money(attribute="paid_minor", metadata=doc("Sum of released payments.", "0.00"))
    version = NumberText(metadata=doc("Rises with every change; a lower or equal one is old news.", "2"))


class LedgerEntrySchema(CamelSchema):
    """One change of a pool, with the pool's totals and version after it."""

    id = fields.String(metadata=doc("The entry's id.", ENTRY))
    protocol_id = fields.String(metadata=doc("Id of the protocol it belongs to.", PROTOCOL))
    change_type = fields.String(
        validate=validate.OneOf(list(ChangeType)), metadata=doc("What happened to the pool.", "DEPOSIT")
    )
    amount = Money(attribute="amount_minor", metadata=doc("The size of this change.", "25000.00"))
    total = Money(attribute="total_minor", metadata=doc("Sum of all deposits, after this change.", "25000.00"))
    available = Money(
        attribute="available_minor", metadata=doc("`total - reserved - paid`, after this change.", "25000.00")
    )
    reserved = Money(attribute="reserved_minor", metadata=doc("Held after this change.", "0.00"))
    paid = Money(attribute="paid_minor", metadata=doc("Sum of released payments.", "0.00"))
    version = NumberText(metadata=doc("The pool's version with this change.", "1"))
    vulnerability_id = fields.String(allow_none=True, metadata=doc("The vulnerability, where it is about one.", None))
    payment_id = fields.String(allow_none=True, metadata=doc("The payment, where it is about one.", None))
    reference = fields.String(
        allow_none=True, metadata=doc("A reference of the sender's, or of the payout service.", "treasury-2026-11")
    )
    actor = fields.String(metadata=doc("Who caused it: the token's `sub`, or `system`.", "owner-1"))
    created_at = Timestamp(metadata=doc("When it was made.", MOMENT))


class DepositSchema(CamelSchema):
    entry = fields.Nested(LedgerEntrySchema)
    pool = fields.Nested(PoolSchema)


LedgerEntryPage = page_schema(LedgerEntrySchema)


class BountyPoolData(CamelSchema):
    """One change of a pool, and its totals right after it."""

    change_type = fields.String(
        required=True,
        validate=validate.OneOf(list(ChangeType)),
        metadata=doc("What happened to the pool.", "RESERVATION"),
    )
    amount = Money(required=True, metadata=doc("An amount of money, as a decimal string.", "2500.00"))
    total = Money(required=True, metadata=doc("Sum of all deposits; `available + reserved + paid`.", "25000.00"))
    available = Money(required=True, metadata=doc("`total - reserved - paid`; never negative.", "22500.00"))
    reserved = Money(required=True, metadata=doc("Held for pending validations and payments.", "2500.00"))
    paid = Money(required=True, metadata=doc("Sum of released payments.", "0.00"))
    currency = fields.String(
        required=True, metadata=doc("What all amounts of the protocol are in; set once, when it is created.", "USDC")
    )
    version = NumberText(required=True, metadata=doc("Rises with every change; a lower or equal one is old news.", "2"))
    vulnerability_id = fields.String(metadata=doc("Id of the vulnerability it is about.", VULNERABILITY))
    payment_id = fields.String(metadata=doc("Id of the payment; `GET /payments/{id}` tells how it stands.", PAYMENT))
    reference = fields.String(
        metadata=doc("A reference of the sender's, or of the payout service.", "treasury-2026-11")
    )
