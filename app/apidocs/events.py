"""Schemas of the events of a room, for AsyncAPI. Tests validate every emitted event against them."""

from typing import Any

from marshmallow import fields, validate

from app.agents.schemas import AgentTaskData
from app.core.schemas import CamelSchema, NumberText, Timestamp, doc
from app.core.values import MOMENT, PROTOCOL
from app.protocols.rules import ChangeType
from app.protocols.schemas import BountyPoolData
from app.realtime.events import EventType
from app.vulnerabilities.models import Status
from app.vulnerabilities.schemas import VulnStatusData


class AgentTasksData(CamelSchema):
    """The newest RUNNING or IDLE update of each agent that changed since the last such event."""

    updates = fields.List(
        fields.Nested(AgentTaskData),
        required=True,
        validate=validate.Length(min=1, max=1000),
        metadata=doc("One update per agent."),
    )


class _Envelope(CamelSchema):
    timestamp = Timestamp(required=True, metadata=doc("Time of the event.", MOMENT))
    protocol_id = fields.String(required=True, metadata=doc("Id of the protocol.", PROTOCOL))
    seq = NumberText(
        required=True, metadata=doc("This event's own number in its room; consecutive events have no gaps.", "42")
    )


def _event_type(event_type: EventType) -> fields.String:
    return fields.String(
        required=True, validate=validate.OneOf([event_type]), metadata=doc("Name of the event.", event_type.value)
    )


class AgentTaskUpdateEvent(_Envelope):
    """An agent's task made progress, was completed or failed."""

    event_type = _event_type(EventType.AGENT_TASK_UPDATE)
    data = fields.Nested(AgentTaskData, required=True)


class AgentTaskUpdatesEvent(_Envelope):
    """The progress of many agents as one event a second, only for connections that joined with `agentBatches`."""

    event_type = _event_type(EventType.AGENT_TASK_UPDATES)
    data = fields.Nested(AgentTasksData, required=True)


class BountyPoolUpdatedEvent(_Envelope):
    """The balance of the protocol's bounty pool changed."""

    event_type = _event_type(EventType.BOUNTY_POOL_UPDATED)
    data = fields.Nested(BountyPoolData, required=True)


class VulnStatusChangedEvent(_Envelope):
    """A vulnerability was confirmed, rejected or paid."""

    event_type = _event_type(EventType.VULN_STATUS_CHANGED)
    data = fields.Nested(VulnStatusData, required=True)


EVENTS: dict[str, type[_Envelope]] = {
    EventType.AGENT_TASK_UPDATE: AgentTaskUpdateEvent,
    EventType.AGENT_TASK_UPDATES: AgentTaskUpdatesEvent,
    EventType.BOUNTY_POOL_UPDATED: BountyPoolUpdatedEvent,
    EventType.VULN_STATUS_CHANGED: VulnStatusChangedEvent,
}


def _requires(field: str, value: str, *required: str) -> dict[str, Any]:
    """The condition that `required` members are present if `field` has this value; marshmallow cannot express it."""
    return {"if": {"properties": {field: {"const": value}}}, "then": {"required": list(required)}}


CONDITIONS: dict[str, list[dict[str, Any]]] = {
    "VulnStatusData": [
        _requires("newStatus", Status.PAID.value, "paymentAmount", "paymentId"),
        _requires("newStatus", Status.REJECTED.value, "rejectionReason"),
    ],
    "BountyPoolData": [_requires("changeType", ChangeType.PAYMENT_RELEASED.value, "vulnerabilityId", "paymentId")],
}
