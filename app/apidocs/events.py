"""The events of a room, as marshmallow schemas.

The events themselves are made by the features; these schemas tell of them, and the tests hold every event that is
really emitted against the document made from them.
"""

from typing import Any

from marshmallow import fields, validate

from app.agents.schemas import TaskErrorSchema
from app.bounties.rules import ChangeType
from app.core.schemas import CamelSchema, Money, NumberText, Timestamp
from app.realtime.events import EventType
from app.vulnerabilities.rules import Severity, Status

_TASK_STATUS = validate.OneOf(["RUNNING", "COMPLETED", "FAILED", "IDLE"])


def text(**kwargs: Any) -> fields.String:
    return fields.String(required=True, **kwargs)


class AgentTaskData(CamelSchema):
    """The task an agent is on."""

    agent_id = text()
    task = text()
    progress = NumberText(required=True)
    status = text(validate=_TASK_STATUS)
    estimated_completion = Timestamp(required=True, allow_none=True)
    error = fields.Nested(TaskErrorSchema, required=True, allow_none=True)
    next_task = text(allow_none=True)
    version = NumberText(required=True)


class AgentTasksData(CamelSchema):
    """The newest RUNNING or IDLE update of every agent that changed since the last such event."""

    updates = fields.List(fields.Nested(AgentTaskData), required=True, validate=validate.Length(min=1, max=1000))


class BountyPoolData(CamelSchema):
    """One change of a pool, and its totals right after it."""

    change_type = text(validate=validate.OneOf(list(ChangeType)))
    amount = Money(required=True)
    total = Money(required=True)
    available = Money(required=True)
    reserved = Money(required=True)
    paid = Money(required=True)
    currency = text()
    version = NumberText(required=True)
    vulnerability_id = fields.String()
    payment_id = fields.String()
    reference = fields.String()


class VulnStatusData(CamelSchema):
    """A vulnerability's step from one status to the next."""

    vulnerability_id = text()
    old_status = text(validate=validate.OneOf([Status.PENDING, Status.CONFIRMED]))
    new_status = text(validate=validate.OneOf([Status.CONFIRMED, Status.REJECTED, Status.PAID]))
    severity = text(validate=validate.OneOf(list(Severity)))
    version = NumberText(required=True)
    changed_at = Timestamp(required=True)
    payment_amount = Money()
    payment_id = fields.String()
    rejection_reason = fields.String()


class _Envelope(CamelSchema):
    event_type = text()
    timestamp = Timestamp(required=True)
    protocol_id = text()
    seq = NumberText(
        required=True,
        metadata={"description": "This event's own number in its room; without gaps at the source."},
    )


class AgentTaskUpdateEvent(_Envelope):
    """An agent's task made progress, was completed or failed."""

    event_type = text(validate=validate.OneOf([EventType.AGENT_TASK_UPDATE]))
    data = fields.Nested(AgentTaskData, required=True)


class AgentTaskUpdatesEvent(_Envelope):
    """Only to connections that joined with `agentBatches`: many agents' progress as one event a second."""

    event_type = text(validate=validate.OneOf([EventType.AGENT_TASK_UPDATES]))
    data = fields.Nested(AgentTasksData, required=True)


class BountyPoolUpdatedEvent(_Envelope):
    """The balance of the protocol's bounty pool changed."""

    event_type = text(validate=validate.OneOf([EventType.BOUNTY_POOL_UPDATED]))
    data = fields.Nested(BountyPoolData, required=True)


class VulnStatusChangedEvent(_Envelope):
    """A vulnerability was confirmed, rejected or paid."""

    event_type = text(validate=validate.OneOf([EventType.VULN_STATUS_CHANGED]))
    data = fields.Nested(VulnStatusData, required=True)


EVENTS: dict[str, type[_Envelope]] = {
    EventType.AGENT_TASK_UPDATE: AgentTaskUpdateEvent,
    EventType.AGENT_TASK_UPDATES: AgentTaskUpdatesEvent,
    EventType.BOUNTY_POOL_UPDATED: BountyPoolUpdatedEvent,
    EventType.VULN_STATUS_CHANGED: VulnStatusChangedEvent,
}

# What marshmallow cannot say of a schema: members that go with one status alone.
CONDITIONS: dict[str, list[dict[str, Any]]] = {
    "VulnStatusData": [
        {
            "if": {"properties": {"newStatus": {"const": Status.PAID.value}}},
            "then": {"required": ["paymentAmount", "paymentId"]},
        },
        {
            "if": {"properties": {"newStatus": {"const": Status.REJECTED.value}}},
            "then": {"required": ["rejectionReason"]},
        },
    ],
    "BountyPoolData": [
        {
            "if": {"properties": {"changeType": {"const": ChangeType.PAYMENT_RELEASED.value}}},
            "then": {"required": ["vulnerabilityId", "paymentId"]},
        }
    ],
}
