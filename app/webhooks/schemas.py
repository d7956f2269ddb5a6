from marshmallow import fields, validate

from app.core.pagination import PageQuery, page_schema
from app.core.schemas import CamelSchema, Choice, DescribingText, NumberText, Timestamp, doc
from app.core.values import DESCRIPTION_LENGTH, LATER, MOMENT, PROTOCOL
from app.vulnerabilities.models import Severity
from app.webhooks.rules import ALL_EVENTS, DELIVERED_EVENTS, DeliveryStatus, WebhookStatus

WEBHOOK = "019a8f05-11c2-7e5b-9a40-5d1f6a7b8c05"
DELIVERY = "019a8f06-2a7d-7b19-8c33-1e2f3a4b5c06"
SECRET = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
_SHOWN_STATUSES = (WebhookStatus.ENABLED, WebhookStatus.DISABLED)
_IS_FILTER = validate.Length(min=1, max=50)

_URL = doc(
    "Where deliveries are POSTed: `https://`, without user name, password or fragment. A host written as a private, "
    "loopback or link-local address is refused here, a name that leads to one when it is connected to.",
    "https://hooks.example/dashboard",
)
_EVENT_TYPES = doc("The events to deliver, or `*` for all.", ["vuln:status_changed", "payment:status_changed"])
_SEVERITIES = doc("Of the vulnerability events only those of these severities; null for all.", ["CRITICAL", "HIGH"])
_DESCRIPTION = doc("What the webhook is for.", "Slack channel of the incident team")
_ERROR = doc("Why the attempt failed; null if it succeeded or none has ended.", None)
_RESPONSE_CODE = doc("The response's HTTP status; null without a response.", "204")
_DURATION = doc("How long the attempt took, in milliseconds.", "87")


class WebhookCreate(CamelSchema):
    url = fields.String(required=True, metadata=_URL)
    event_types = fields.List(
        Choice((*DELIVERED_EVENTS, ALL_EVENTS)), required=True, validate=_IS_FILTER, metadata=_EVENT_TYPES
    )
    severities = fields.List(
        Choice(Severity), load_default=None, allow_none=True, validate=_IS_FILTER, metadata=_SEVERITIES
    )
    description = DescribingText(DESCRIPTION_LENGTH, load_default=None, allow_none=True, metadata=_DESCRIPTION)


class WebhookAction(CamelSchema):
    """No members: a body that was meant for another operation has no effect."""


class WebhookSchema(CamelSchema):
    id = fields.String(metadata=doc("The webhook's id.", WEBHOOK))
    protocol_id = fields.String(metadata=doc("The protocol's id.", PROTOCOL))
    url = fields.String(metadata=_URL)
    event_types = fields.List(Choice((*DELIVERED_EVENTS, ALL_EVENTS)), metadata=_EVENT_TYPES)
    severities = fields.List(Choice(Severity), allow_none=True, metadata=_SEVERITIES)
    description = fields.String(allow_none=True, metadata=_DESCRIPTION)
    status = Choice(_SHOWN_STATUSES, metadata=doc("A DISABLED webhook gets nothing until it is enabled.", "ENABLED"))
    disabled_reason = fields.String(allow_none=True, metadata=doc("Why it is DISABLED; null otherwise.", None))
    failing_since = Timestamp(
        allow_none=True,
        metadata=doc("When the first attempt failed since the last success; null while none has.", None),
    )
    previous_secret_expires_at = Timestamp(
        allow_none=True,
        metadata=doc("Until when the secret before the last rotation signs as well; null without a rotation.", None),
    )
    created_at = Timestamp(metadata=doc("When it was created.", MOMENT))


class NewWebhookSchema(WebhookSchema):
    secret = fields.String(
        attribute="shown_secret",
        metadata=doc("The key of the signatures (Standard Webhooks). Shown this once.", SECRET),
    )


class AttemptSchema(CamelSchema):
    at = fields.String(metadata=doc("When the attempt ended.", MOMENT))
    response_code = NumberText(attribute="responseCode", allow_none=True, metadata=_RESPONSE_CODE)
    duration_ms = NumberText(attribute="durationMs", allow_none=True, metadata=_DURATION)
    error = fields.String(allow_none=True, metadata=_ERROR)


class WebhookDeliverySchema(CamelSchema):
    id = fields.String(metadata=doc("The delivery's id, which is the `webhook-id` of each attempt.", DELIVERY))
    webhook_id = fields.String(metadata=doc("The webhook's id.", WEBHOOK))
    event_type = fields.String(metadata=doc("The event's type; `webhook:test` for a test.", "vuln:status_changed"))
    status = Choice(
        DeliveryStatus, metadata=doc("PENDING while an attempt runs or is planned; FAILED after the last.", "SUCCEEDED")
    )
    attempts = NumberText(metadata=doc("How many attempts were started.", "1"))
    response_code = NumberText(allow_none=True, metadata=_RESPONSE_CODE)
    duration_ms = NumberText(allow_none=True, metadata=_DURATION)
    error = fields.String(allow_none=True, metadata=_ERROR)
    next_attempt_at = Timestamp(allow_none=True, metadata=doc("When the next attempt is due; null if none is.", None))
    created_at = Timestamp(metadata=doc("When the event was taken for delivery.", MOMENT))
    finished_at = Timestamp(allow_none=True, metadata=doc("When it succeeded or failed for good.", LATER))
    history = fields.List(fields.Nested(AttemptSchema), metadata=doc("The latest attempts, oldest first."))


class WebhookTestData(CamelSchema):
    """The data of a test."""

    webhook_id = fields.String(required=True, metadata=doc("The webhook's id.", WEBHOOK))
    requested_by = fields.String(required=True, metadata=doc("Who asked for it: the token's `sub`.", "owner-1"))


class WebhookDeliveryQuery(PageQuery):
    status = Choice(DeliveryStatus, load_default=None, metadata=doc("Only deliveries with this status."))


WebhookPage = page_schema(WebhookSchema)
WebhookDeliveryPage = page_schema(WebhookDeliverySchema)
