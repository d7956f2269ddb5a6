import re

from marshmallow import fields, validate

from app.bounties.schemas import CURRENCY
from app.core.pagination import page_schema
from app.core.schemas import CamelSchema, Identifier, Name, Timestamp, doc
from app.core.values import MOMENT, PROTOCOL

_CURRENCY = validate.Regexp(r"\A[A-Z][A-Z0-9]{1,15}\Z", re.ASCII, error="Must be 2–16 capital letters or digits.")


class ProtocolCreate(CamelSchema):
    id = Identifier(load_default=None, metadata=doc("The protocol's id; generated when missing.", PROTOCOL))
    name = Name(required=True, metadata=doc("The protocol's name, for display.", "Aave v3"))
    currency = fields.String(
        load_default="USDC",
        validate=_CURRENCY,
        metadata=CURRENCY,
    )


class ProtocolSchema(CamelSchema):
    id = fields.String(metadata=doc("The protocol's id.", PROTOCOL))
    name = fields.String(metadata=doc("The protocol's name, for display.", "Aave v3"))
    currency = fields.String(metadata=CURRENCY)
    created_at = Timestamp(metadata=doc("When the protocol was created.", MOMENT))


ProtocolPage = page_schema(ProtocolSchema)
