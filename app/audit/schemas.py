from marshmallow import fields, validate

from app.audit.service import Audited
from app.core.pagination import PageQuery, page_schema
from app.core.schemas import CamelSchema, Identifier, Name, NumberText, Timestamp


class AuditQuery(PageQuery):
    protocol_id = Identifier(load_default=None)
    subject = Name(load_default=None, longest=128)
    action = fields.String(load_default=None, validate=validate.OneOf(list(Audited)))


class AuditEntrySchema(CamelSchema):
    """Who did what; `before` and `after` hold what changed, numbers as strings."""

    id = NumberText()
    at = Timestamp()
    action = fields.String(validate=validate.OneOf(list(Audited)))
    subject = fields.String()
    role = fields.String()
    token_id = fields.String(allow_none=True)
    address = fields.String(allow_none=True)
    request_id = fields.String()
    protocol_id = fields.String(allow_none=True)
    target_id = fields.String()
    before = fields.Dict(keys=fields.String(), allow_none=True)
    after = fields.Dict(keys=fields.String(), allow_none=True)


AuditPage = page_schema(AuditEntrySchema)
