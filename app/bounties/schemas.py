from marshmallow import fields, validate

from app.bounties.rules import ChangeType
from app.core.pagination import page_schema
from app.core.schemas import CamelSchema, Money, Name, NumberText, Timestamp


class DepositCreate(CamelSchema):
    amount = Money(required=True)
    reference = Name(load_default=None, allow_none=True)


class PoolSchema(CamelSchema):
    protocol_id = fields.String()
    currency = fields.String()
    total = Money(attribute="total_minor")
    available = Money(attribute="available_minor")
    reserved = Money(attribute="reserved_minor")
    paid = Money(attribute="paid_minor")
    version = NumberText()


class LedgerEntrySchema(CamelSchema):
    """One change of a pool, with the pool's totals and version after it."""

    id = fields.String()
    protocol_id = fields.String()
    change_type = fields.String(validate=validate.OneOf(list(ChangeType)))
    amount = Money(attribute="amount_minor")
    total = Money(attribute="total_minor")
    available = Money(attribute="available_minor")
    reserved = Money(attribute="reserved_minor")
    paid = Money(attribute="paid_minor")
    version = NumberText()
    vulnerability_id = fields.String(allow_none=True)
    payment_id = fields.String(allow_none=True)
    reference = fields.String(allow_none=True)
    actor = fields.String()
    created_at = Timestamp()


class DepositSchema(CamelSchema):
    entry = fields.Nested(LedgerEntrySchema)
    pool = fields.Nested(PoolSchema)


LedgerEntryPage = page_schema(LedgerEntrySchema)


class BountyPoolData(CamelSchema):
    """One change of a pool, and its totals right after it."""

    change_type = fields.String(required=True, validate=validate.OneOf(list(ChangeType)))
    amount = Money(required=True)
    total = Money(required=True)
    available = Money(required=True)
    reserved = Money(required=True)
    paid = Money(required=True)
    currency = fields.String(required=True)
    version = NumberText(required=True)
    vulnerability_id = fields.String()
    payment_id = fields.String()
    reference = fields.String()
