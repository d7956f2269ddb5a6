import re

from marshmallow import fields, validate

from app.core.pagination import page_schema
from app.core.schemas import CamelSchema, Identifier, Name, Timestamp

_CURRENCY = validate.Regexp(r"\A[A-Z][A-Z0-9]{1,15}\Z", re.ASCII, error="Must be 2–16 capital letters or digits.")


class ProtocolCreate(CamelSchema):
    id = Identifier(load_default=None)
    name = Name(required=True)
    currency = fields.String(load_default="USDC", validate=_CURRENCY)


class ProtocolSchema(CamelSchema):
    id = fields.String()
    name = fields.String()
    currency = fields.String()
    created_at = Timestamp()


ProtocolPage = page_schema(ProtocolSchema)
