from marshmallow import fields, validate

from app.audit.service import AuditAction
from app.core.examples import ENTRY, MOMENT, PROTOCOL
from app.core.pagination import PageQuery, page_schema
from app.core.schemas import CamelSchema, Identifier, Name, NumberText, Timestamp, doc


class AuditQuery(PageQuery):
    protocol_id = Identifier(load_default=None, metadata=doc("Id of the protocol it belongs to."))
    subject = Name(load_default=None, longest=128, metadata=doc("Whose: the token's `sub`."))
    action = fields.String(
        load_default=None,
        validate=validate.OneOf(list(AuditAction)),
        metadata=doc("What was done, as a code such as `DEPOSIT`."),
    )


class AuditEntrySchema(CamelSchema):
    """Who did what; `before` and `after` hold what changed, numbers as strings."""

    id = NumberText(metadata=doc("The entry's number.", "3"))
    at = Timestamp(metadata=doc("When it was done.", MOMENT))
    action = fields.String(
        validate=validate.OneOf(list(AuditAction)),
        metadata=doc("What was done, as a code such as `DEPOSIT`.", "DEPOSIT"),
    )
    subject = fields.String(metadata=doc("Whose: the token's `sub`.", "owner-1"))
    role = fields.String(metadata=doc("In which role.", "owner"))
    token_id = fields.String(
        allow_none=True, metadata=doc("The token's `jti`; null where the system did it.", "0f8c2d4e6a")
    )
    address = fields.String(allow_none=True, metadata=doc("From where; null where the system did it.", "203.0.113.7"))
    request_id = fields.String(
        metadata=doc("The same as in `X-Request-Id`; name it in a question to us.", "0d3f0c7e9a4b4d0f")
    )
    protocol_id = fields.String(allow_none=True, metadata=doc("The protocol, where it is about one.", PROTOCOL))
    target_id = fields.String(metadata=doc("The id of what it was done to.", ENTRY))
    before = fields.Dict(
        keys=fields.String(), allow_none=True, metadata=doc("How it was before; null where it is new.", None)
    )
    after = fields.Dict(
        keys=fields.String(),
        allow_none=True,
        metadata=doc("What the change left behind: the values that it set.", {"total": "25000.00"}),
    )


AuditPage = page_schema(AuditEntrySchema)
