from marshmallow import fields, validate

from app.core.pagination import PeriodQuery, page_schema
from app.core.schemas import CamelSchema, DescribingText, Identifier, Money, Name, NumberText, Reason, Timestamp, doc
from app.core.values import AGENT, DESCRIPTION_LENGTH, MOMENT, PAYMENT, PROTOCOL, REASON_LENGTH, VULNERABILITY
from app.protocols.schemas import VERSION
from app.vulnerabilities.models import PREVIOUS, Severity, Status

_SEVERITY = validate.OneOf(list(Severity))
_STATUS = validate.OneOf(list(Status))
_OLD_STATUS = validate.OneOf([Status.PENDING, Status.CONFIRMED])
_NEW_STATUS = validate.OneOf(list(PREVIOUS))
_ID = doc("The vulnerability's id.", VULNERABILITY)
_STATUS_MEANING = doc("The present status.", "PENDING")
_CREATED = doc("When the vulnerability was filed.", MOMENT)
_TITLE = doc("A short name of the finding.", "Reentrancy in withdraw()")
_SEVERITY_MEANING = doc("The severity, from CRITICAL down to INFO.", "HIGH")
_BOUNTY = doc("The bounty of this vulnerability.", "2500.00")
_AGENT_MEANING = doc("Id of the agent that found it.", AGENT)
_CLEANED = "Line ends become LF, other control characters and escape sequences are removed, and text longer than"
_DESCRIPTION = doc(
    f"The finding in full. {_CLEANED} 20,000 characters is cut and ends in `…`.",
    "An external call precedes the update of the balance.",
)
_REASON = doc(
    f"Why it is rejected. {_CLEANED} 2,000 characters is cut and ends in `…`.", "Duplicate of an earlier report."
)


class VulnerabilityCreate(CamelSchema):
    title = Name(required=True, metadata=_TITLE)
    severity = fields.String(required=True, validate=_SEVERITY, metadata=_SEVERITY_MEANING)
    bounty = Money(load_default=None, allow_none=True, metadata=_BOUNTY)
    agent_id = Identifier(load_default=None, allow_none=True, metadata=_AGENT_MEANING)
    description = DescribingText(DESCRIPTION_LENGTH, load_default=None, allow_none=True, metadata=_DESCRIPTION)


class Confirmation(CamelSchema):
    bounty = Money(load_default=None, allow_none=True, metadata=_BOUNTY)


class Rejection(CamelSchema):
    reason = Reason(REASON_LENGTH, metadata=_REASON)


class VulnerabilityQuery(PeriodQuery):
    status = fields.String(load_default=None, validate=_STATUS, metadata=doc("Only this status."))
    severity = fields.String(load_default=None, validate=_SEVERITY, metadata=doc("Only this severity."))
    reserved = fields.Boolean(
        load_default=None,
        metadata=doc(
            "`true`: only those with a reservation, which add up to the pool's `reserved`; `false`: the rest."
        ),
    )
    sort = fields.String(
        load_default="date",
        validate=validate.OneOf(["date", "severity"]),
        metadata=doc("`date`: newest first; `severity`: most severe first, then newest."),
    )


class VulnerabilitySchema(CamelSchema):
    id = fields.String(metadata=_ID)
    protocol_id = fields.String(metadata=doc("The protocol's id.", PROTOCOL))
    title = fields.String(metadata=_TITLE)
    description = fields.String(allow_none=True, metadata=_DESCRIPTION)
    severity = fields.String(validate=_SEVERITY, metadata=_SEVERITY_MEANING)
    status = fields.String(validate=_STATUS, metadata=_STATUS_MEANING)
    bounty = Money(attribute="bounty_minor", allow_none=True, metadata=_BOUNTY)
    reserved = Money(attribute="reserved_minor", metadata=doc("What is reserved for it in the pool now.", "2500.00"))
    agent_id = fields.String(allow_none=True, metadata=_AGENT_MEANING)
    rejection_reason = fields.String(allow_none=True, metadata=doc("Why it was rejected; null otherwise.", None))
    payment_id = fields.String(allow_none=True, metadata=doc("Id of its payment; null until one is requested.", None))
    version = NumberText(metadata=VERSION)
    created_at = Timestamp(metadata=_CREATED)
    updated_at = Timestamp(metadata=doc("When it was last changed.", MOMENT))


def _numbers(description: str, example: dict[str, str]) -> fields.Dict:
    return fields.Dict(keys=fields.String(), values=NumberText(), metadata=doc(description, example))


class VulnerabilityCounts(CamelSchema):
    """Numbers of vulnerabilities; each status and severity is listed, also with zero."""

    total = NumberText(metadata=doc("The number of all vulnerabilities.", "1"))
    by_severity = _numbers("Numbers by severity.", dict.fromkeys(Severity, "0") | {"HIGH": "1"})
    by_status = _numbers("Numbers by status.", dict.fromkeys(Status, "0") | {"CONFIRMED": "1"})


VulnerabilityPage = page_schema(VulnerabilitySchema)


class VulnDiscoveredData(CamelSchema):
    """A vulnerability that was filed just now."""

    vulnerability_id = fields.String(required=True, attribute="id", metadata=_ID)
    title = fields.String(required=True, metadata=_TITLE)
    severity = fields.String(required=True, validate=_SEVERITY, metadata=_SEVERITY_MEANING)
    status = fields.String(required=True, validate=validate.Equal(Status.PENDING), metadata=_STATUS_MEANING)
    bounty = Money(required=True, attribute="bounty_minor", allow_none=True, metadata=_BOUNTY)
    agent_id = fields.String(required=True, allow_none=True, metadata=_AGENT_MEANING)
    version = NumberText(required=True, metadata=VERSION)
    created_at = Timestamp(required=True, metadata=_CREATED)


class VulnStatusData(CamelSchema):
    """A vulnerability's change of status."""

    vulnerability_id = fields.String(required=True, metadata=_ID)
    old_status = fields.String(required=True, validate=_OLD_STATUS, metadata=doc("The previous status.", "PENDING"))
    new_status = fields.String(required=True, validate=_NEW_STATUS, metadata=doc("The new status.", "CONFIRMED"))
    severity = fields.String(required=True, validate=_SEVERITY, metadata=_SEVERITY_MEANING)
    version = NumberText(required=True, metadata=VERSION)
    changed_at = Timestamp(required=True, metadata=doc("When the status changed.", MOMENT))
    payment_amount = Money(metadata=doc("The amount paid; only with PAID.", "2500.00"))
    payment_id = fields.String(metadata=doc("Id of the payment; only with PAID.", PAYMENT))
    rejection_reason = fields.String(
        metadata=doc("Why it was rejected; only with REJECTED.", "Duplicate of an earlier report.")
    )
