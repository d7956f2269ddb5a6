"""The events of a room, as marshmallow schemas.

The events themselves are made by the features; these schemas tell of them, and the tests hold every event that is
really emitted against the document made from them.
"""

from typing import Any

from marshmallow import fields, validate

from app.agents.schemas import AgentTaskData
from app.bounties.rules import ChangeType
from app.bounties.schemas import BountyPoolData
from app.core.examples import MOMENT, PROTOCOL
from app.core.schemas import CamelSchema, NumberText, Timestamp, doc
from app.realtime.events import EventType
from app.vulnerabilities.rules import Status
from app.vulnerabilities.schemas import VulnStatusData


def text(**kwargs: Any) -> fields.String:
    return fields.String(required=True, **kwargs)


class AgentTasksData(CamelSchema):
    """The newest RUNNING or IDLE update of every agent that changed since the last such event."""

    updates = fields.List(
        fields.Nested(AgentTaskData),
        required=True,
        validate=validate.Length(min=1, max=1000),
        metadata=doc("One entry per agent; each is judged and told of by itself."),
    )


class _Envelope(CamelSchema):
    event_type = text(metadata=doc("The event's name."))
    timestamp = Timestamp(required=True, metadata=doc("When it happened.", MOMENT))
    protocol_id = text(metadata=doc("Id of the protocol it belongs to.", PROTOCOL))
    seq = NumberText(
        required=True,
        metadata=doc("This event's own number in its room; without gaps at the source.", "42"),
    )


class AgentTaskUpdateEvent(_Envelope):
    """An agent's task made progress, was completed or failed."""

    event_type = text(validate=validate.OneOf([EventType.AGENT_TASK_UPDATE]), metadata=doc("The event's name."))
    data = fields.Nested(AgentTaskData, required=True)


class AgentTaskUpdatesEvent(_Envelope):
    """Only to connections that joined with `agentBatches`: many agents' progress as one event a second."""

    event_type = text(validate=validate.OneOf([EventType.AGENT_TASK_UPDATES]), metadata=doc("The event's name."))
    data = fields.Nested(AgentTasksData, required=True)


class BountyPoolUpdatedEvent(_Envelope):
    """The balance of the protocol's bounty pool changed."""

    event_type = text(validate=validate.OneOf([EventType.BOUNTY_POOL_UPDATED]), metadata=doc("The event's name."))
    data = fields.Nested(BountyPoolData, required=True)


class VulnStatusChangedEvent(_Envelope):
    """A vulnerability was confirmed, rejected or paid."""

    event_type = text(validate=validate.OneOf([EventType.VULN_STATUS_CHANGED]), metadata=doc("The event's name."))
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
