from marshmallow import fields, validate

from app.core.pagination import PageQuery, page_schema
from app.core.schemas import CamelSchema, DescribingText, Identifier, Money, Name, NumberText, Reason, Timestamp
from app.core.text import DESCRIPTION_LENGTH, REASON_LENGTH
from app.vulnerabilities.rules import Severity, Status

_SEVERITY = validate.OneOf(list(Severity))
_STATUS = validate.OneOf(list(Status))


class VulnerabilityCreate(CamelSchema):
    title = Name(required=True)
    severity = fields.String(required=True, validate=_SEVERITY)
    bounty = Money(load_default=None, allow_none=True)
    agent_id = Identifier(load_default=None, allow_none=True)
    description = DescribingText(DESCRIPTION_LENGTH, load_default=None, allow_none=True)


class Confirmation(CamelSchema):
    bounty = Money(load_default=None, allow_none=True)


class Rejection(CamelSchema):
    reason = Reason(REASON_LENGTH)


class VulnerabilityQuery(PageQuery):
    status = fields.String(load_default=None, validate=_STATUS)
    severity = fields.String(load_default=None, validate=_SEVERITY)
    sort = fields.String(
        load_default="date",
        validate=validate.OneOf(["date", "severity"]),
        metadata={"description": "`date`: newest first; `severity`: gravest first, then newest"},
    )


class VulnerabilitySchema(CamelSchema):
    id = fields.String()
    protocol_id = fields.String()
    title = fields.String()
    description = fields.String(allow_none=True)
    severity = fields.String(validate=_SEVERITY)
    status = fields.String(validate=_STATUS)
    bounty = Money(attribute="bounty_minor", allow_none=True)
    agent_id = fields.String(allow_none=True)
    rejection_reason = fields.String(allow_none=True)
    payment_id = fields.String(allow_none=True)
    version = NumberText()
    created_at = Timestamp()
    updated_at = Timestamp()


class VulnerabilityCounts(CamelSchema):
    """How many there are; every status and every severity is named, also those with none."""

    total = NumberText()
    by_severity = fields.Dict(keys=fields.String(), values=NumberText())
    by_status = fields.Dict(keys=fields.String(), values=NumberText())


VulnerabilityPage = page_schema(VulnerabilitySchema)


class VulnStatusData(CamelSchema):
    """A vulnerability's step from one status to the next."""

    vulnerability_id = fields.String(required=True)
    old_status = fields.String(required=True, validate=validate.OneOf([Status.PENDING, Status.CONFIRMED]))
    new_status = fields.String(required=True, validate=validate.OneOf([Status.CONFIRMED, Status.REJECTED, Status.PAID]))
    severity = fields.String(required=True, validate=validate.OneOf(list(Severity)))
    version = NumberText(required=True)
    changed_at = Timestamp(required=True)
    payment_amount = Money()
    payment_id = fields.String()
    rejection_reason = fields.String()
