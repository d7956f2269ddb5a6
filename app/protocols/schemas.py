import re

from marshmallow import fields, validate

from app.core.examples import MOMENT, PROTOCOL
from app.core.pagination import page_schema
from app.core.schemas import CamelSchema, Identifier, Name, Timestamp, doc

_CURRENCY = validate.Regexp(r"\A[A-Z][A-Z0-9]{1,15}\Z", re.ASCII, error="Must be 2–16 capital letters or digits.")


class ProtocolCreate(CamelSchema):
    id = Identifier(load_default=None, metadata=doc("An id of your own; without it the server makes one.", PROTOCOL))
    name = Name(required=True, metadata=doc("A name for people; programs go by the id.", "Aave v3"))
    currency = fields.String(
        load_default="USDC",
        validate=_CURRENCY,
        metadata=doc("What all amounts of the protocol are in; set once, when it is created.", "USDC"),
    )


class ProtocolSchema(CamelSchema):
    id = fields.String(metadata=doc("The protocol's id.", PROTOCOL))
    name = fields.String(metadata=doc("A name for people; programs go by the id.", "Aave v3"))
    currency = fields.String(
        metadata=doc("What all amounts of the protocol are in; set once, when it is created.", "USDC")
    )
    created_at = Timestamp(metadata=doc("When it was made.", MOMENT))


ProtocolPage = page_schema(ProtocolSchema)
