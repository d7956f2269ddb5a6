from typing import Any

from marshmallow import fields, validate

from app.audit import service
from app.auth.authorization import requires
from app.auth.permissions import Action
from app.core.pagination import Page, PageQuery, page_schema
from app.core.schemas import CamelSchema, Identifier, Name, NumberText, Timestamp, doc
from app.core.values import ENTRY, MOMENT, PROTOCOL
from app.http.rest import Blueprint

blueprint = Blueprint("audit", __name__, url_prefix="/api/v1", description="Audit log")

_IS_ACTION = validate.OneOf(list(service.AuditAction))


class AuditQuery(PageQuery):
    protocol_id = Identifier(load_default=None, metadata=doc("Only entries about this protocol."))
    subject = Name(load_default=None, longest=128, metadata=doc("Only actions of this subject, the token's `sub`."))
    action = fields.String(load_default=None, validate=_IS_ACTION, metadata=doc("Only this action."))


class AuditEntrySchema(CamelSchema):
    """One action; `before` and `after` hold the values that changed, numbers as strings."""

    id = NumberText(metadata=doc("The entry's number.", "3"))
    at = Timestamp(metadata=doc("When the action was done.", MOMENT))
    action = fields.String(validate=_IS_ACTION, metadata=doc("The action.", "DEPOSIT"))
    subject = fields.String(metadata=doc("Who did it: the token's `sub`, or `system`.", "owner-1"))
    role = fields.String(metadata=doc("The role of the token, or `system`.", "owner"))
    token_id = fields.String(allow_none=True, metadata=doc("The token's `jti`; null for the system.", "0f8c2d4e6a"))
    address = fields.String(allow_none=True, metadata=doc("The caller's address; null for the system.", "203.0.113.7"))
    request_id = fields.String(
        metadata=doc("The request's id, as in `X-Request-Id`; quote it in support requests.", "0d3f0c7e9a4b4d0f")
    )
    protocol_id = fields.String(allow_none=True, metadata=doc("The protocol, if it concerns one.", PROTOCOL))
    target_id = fields.String(metadata=doc("Id of the object that the action changed.", ENTRY))
    before = fields.Dict(
        keys=fields.String(), allow_none=True, metadata=doc("The values before; null for a new object.", None)
    )
    after = fields.Dict(
        keys=fields.String(), allow_none=True, metadata=doc("The values that the action set.", {"total": "25000.00"})
    )


@blueprint.get("/audit")
@requires(Action.READ_AUDIT)
@blueprint.arguments(AuditQuery, location="query")
@blueprint.response(200, page_schema(AuditEntrySchema))
def list_audit(query: dict[str, Any]) -> Page:
    """List the audit log, newest first

    Actions on money, vulnerabilities and tokens, with their callers; entries are never changed.
    """
    return service.list_all(**query)
