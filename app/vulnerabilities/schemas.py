from marshmallow import fields, validate

from app.core.examples import AGENT, MOMENT, PAYMENT, PROTOCOL, VULNERABILITY
from app.core.pagination import PageQuery, page_schema
from app.core.schemas import CamelSchema, DescribingText, Identifier, Money, Name, NumberText, Reason, Timestamp, doc
from app.core.text import DESCRIPTION_LENGTH, REASON_LENGTH
from app.vulnerabilities.rules import Severity, Status

_SEVERITY = validate.OneOf(list(Severity))
_STATUS = validate.OneOf(list(Status))


class VulnerabilityCreate(CamelSchema):
    title = Name(required=True, metadata=doc("What was found.", "Reentrancy in withdraw()"))
    severity = fields.String(
        required=True, validate=_SEVERITY, metadata=doc("How grave it is, from CRITICAL down to INFO.", "HIGH")
    )
    bounty = Money(load_default=None, allow_none=True, metadata=doc("The bounty of this vulnerability.", "2500.00"))
    agent_id = Identifier(
        load_default=None, allow_none=True, metadata=doc("Id of the agent it is about, or who found it.", AGENT)
    )
    description = DescribingText(
        DESCRIPTION_LENGTH,
        load_default=None,
        allow_none=True,
        metadata=doc(
            "The finding in full, for who has to judge it. Line ends become LF, other control characters and escape sequences are removed, and what is longer than 20,000 characters is cut and ends in `…`.",
            "An external call precedes the update of the balance.",
        ),
    )


class Confirmation(CamelSchema):
    bounty = Money(load_default=None, allow_none=True, metadata=doc("The bounty of this vulnerability.", "2500.00"))


class Rejection(CamelSchema):
    reason = Reason(
        REASON_LENGTH,
        metadata=doc(
            "Why it is rejected. Line ends become LF, other control characters and escape sequences are removed, and what is longer than 2,000 characters is cut and ends in `…`.",
            "Duplicate of an earlier report.",
        ),
    )


class VulnerabilityQuery(PageQuery):
    status = fields.String(load_default=None, validate=_STATUS, metadata=doc("Where it stands now."))
    severity = fields.String(
        load_default=None, validate=_SEVERITY, metadata=doc("How grave it is, from CRITICAL down to INFO.")
    )
    sort = fields.String(
        load_default="date",
        validate=validate.OneOf(["date", "severity"]),
        metadata={"description": "`date`: newest first; `severity`: gravest first, then newest"},
    )


class VulnerabilitySchema(CamelSchema):
    id = fields.String(metadata=doc("The vulnerability's id, made by the server.", VULNERABILITY))
    protocol_id = fields.String(metadata=doc("Id of the protocol it belongs to.", PROTOCOL))
    title = fields.String(metadata=doc("What was found.", "Reentrancy in withdraw()"))
    description = fields.String(
        allow_none=True,
        metadata=doc(
            "The finding in full, for who has to judge it. Line ends become LF, other control characters and escape sequences are removed, and what is longer than 20,000 characters is cut and ends in `…`.",
            "An external call precedes the update of the balance.",
        ),
    )
    severity = fields.String(validate=_SEVERITY, metadata=doc("How grave it is, from CRITICAL down to INFO.", "HIGH"))
    status = fields.String(validate=_STATUS, metadata=doc("Where it stands now.", "PENDING"))
    bounty = Money(
        attribute="bounty_minor", allow_none=True, metadata=doc("The bounty of this vulnerability.", "2500.00")
    )
    agent_id = fields.String(allow_none=True, metadata=doc("Id of the agent it is about, or who found it.", AGENT))
    rejection_reason = fields.String(allow_none=True, metadata=doc("Why it was rejected; null otherwise.", None))
    payment_id = fields.String(allow_none=True, metadata=doc("Its payment; null while none is asked for.", None))
    version = NumberText(metadata=doc("Rises with every change; a lower or equal one is old news.", "2"))
    created_at = Timestamp(metadata=doc("When it was made.", MOMENT))
    updated_at = Timestamp(metadata=doc("When it was last changed.", MOMENT))


class VulnerabilityCounts(CamelSchema):
    """How many there are; every status and every severity is named, also those with none."""

    total = NumberText(metadata=doc("All of them.", "1"))
    by_severity = fields.Dict(
        keys=fields.String(),
        values=NumberText(),
        metadata=doc(
            "By severity; each is named.", {"CRITICAL": "0", "HIGH": "1", "MEDIUM": "0", "LOW": "0", "INFO": "0"}
        ),
    )
    by_status = fields.Dict(
        keys=fields.String(),
        values=NumberText(),
        metadata=doc("By status; each is named.", {"PENDING": "0", "CONFIRMED": "1", "REJECTED": "0", "PAID": "0"}),
    )


VulnerabilityPage = page_schema(VulnerabilitySchema)


class VulnStatusData(CamelSchema):
    """A vulnerability's step from one status to the next."""

    vulnerability_id = fields.String(required=True, metadata=doc("Id of the vulnerability it is about.", VULNERABILITY))
    old_status = fields.String(
        required=True,
        validate=validate.OneOf([Status.PENDING, Status.CONFIRMED]),
        metadata=doc("The status before the change.", "PENDING"),
    )
    new_status = fields.String(
        required=True,
        validate=validate.OneOf([Status.CONFIRMED, Status.REJECTED, Status.PAID]),
        metadata=doc("The status after the change.", "CONFIRMED"),
    )
    severity = fields.String(
        required=True,
        validate=validate.OneOf(list(Severity)),
        metadata=doc("How grave it is, from CRITICAL down to INFO.", "HIGH"),
    )
    version = NumberText(required=True, metadata=doc("Rises with every change; a lower or equal one is old news.", "2"))
    changed_at = Timestamp(required=True, metadata=doc("When the status changed.", MOMENT))
    payment_amount = Money(metadata=doc("What was paid; with PAID.", "2500.00"))
    payment_id = fields.String(metadata=doc("The payment; with PAID.", PAYMENT))
    rejection_reason = fields.String(
        metadata=doc("Why it was rejected; with REJECTED.", "Duplicate of an earlier report.")
    )
