"""What goes over Socket.IO, as marshmallow schemas: the three events, the acks and the refusals.

The events themselves are made by the features; these schemas tell of them, and the tests hold every event that is
really emitted against the document made from them.
"""

from typing import Any

from marshmallow import fields, validate

from app.agents.schemas import TaskErrorSchema
from app.bounties.ledger import ChangeType
from app.realtime.envelope import EventType
from app.schemas import CamelSchema, Identifier, Money, NumberText, Timestamp
from app.vulnerabilities.states import Severity, Status

_TASK_STATUS = validate.OneOf(["RUNNING", "COMPLETED", "FAILED"])


def _text(**kwargs: Any) -> fields.String:
    return fields.String(required=True, **kwargs)


class AgentTaskData(CamelSchema):
    """The task an agent is on."""

    agent_id = _text()
    task = _text()
    progress = NumberText(required=True)
    status = _text(validate=_TASK_STATUS)
    estimated_completion = Timestamp(required=True, allow_none=True)
    error = fields.Nested(TaskErrorSchema, required=True, allow_none=True)
    next_task = _text(allow_none=True)
    version = NumberText(required=True)


class AgentTasksData(CamelSchema):
    """The newest RUNNING update of every agent that changed since the last such event."""

    updates = fields.List(fields.Nested(AgentTaskData), required=True, validate=validate.Length(min=1, max=1000))


class BountyPoolData(CamelSchema):
    """One change of a pool, and its totals right after it."""

    change_type = _text(validate=validate.OneOf(list(ChangeType)))
    amount = Money(required=True)
    total = Money(required=True)
    available = Money(required=True)
    reserved = Money(required=True)
    paid = Money(required=True)
    currency = _text()
    version = NumberText(required=True)
    vulnerability_id = fields.String()
    payment_id = fields.String()
    reference = fields.String()


class VulnStatusData(CamelSchema):
    """A vulnerability's step from one status to the next."""

    vulnerability_id = _text()
    old_status = _text(validate=validate.OneOf([Status.PENDING, Status.CONFIRMED]))
    new_status = _text(validate=validate.OneOf([Status.CONFIRMED, Status.REJECTED, Status.PAID]))
    severity = _text(validate=validate.OneOf(list(Severity)))
    version = NumberText(required=True)
    changed_at = Timestamp(required=True)
    payment_amount = Money()
    payment_id = fields.String()
    rejection_reason = fields.String()


class _Envelope(CamelSchema):
    event_type = _text()
    timestamp = Timestamp(required=True)
    protocol_id = _text()
    seq = NumberText(required=True)


class AgentTaskUpdateEvent(_Envelope):
    """An agent's task made progress, was completed or failed."""

    event_type = _text(validate=validate.OneOf([EventType.AGENT_TASK_UPDATE]))
    data = fields.Nested(AgentTaskData, required=True)


class AgentTaskUpdatesEvent(_Envelope):
    """Only to connections that joined with `agentBatches`: many agents' progress as one event a second."""

    event_type = _text(validate=validate.OneOf([EventType.AGENT_TASK_UPDATES]))
    data = fields.Nested(AgentTasksData, required=True)


class BountyPoolUpdatedEvent(_Envelope):
    """The balance of the protocol's bounty pool changed."""

    event_type = _text(validate=validate.OneOf([EventType.BOUNTY_POOL_UPDATED]))
    data = fields.Nested(BountyPoolData, required=True)


class VulnStatusChangedEvent(_Envelope):
    """A vulnerability was confirmed, rejected or paid."""

    event_type = _text(validate=validate.OneOf([EventType.VULN_STATUS_CHANGED]))
    data = fields.Nested(VulnStatusData, required=True)


class Handshake(CamelSchema):
    """Socket.IO's `auth` object."""

    token = _text(metadata={"description": "The JWT, without `Bearer`."})
    protocol_id = Identifier(metadata={"description": "Join this protocol's room before `connect` fires."})
    agent_batches = fields.Boolean()


class JoinMessage(CamelSchema):
    """What a client sends to enter a room."""

    protocol_id = Identifier(required=True)
    agent_batches = fields.Boolean()


class Refusal(CamelSchema):
    """A stable code and a sentence for people."""

    code = _text()
    detail = _text()


class RefusedAck(CamelSchema):
    """The answer to a client event that was refused; nothing has changed."""

    ok = fields.Boolean(required=True, validate=validate.OneOf([False]))
    error = fields.Nested(Refusal, required=True)


class JoinedAck(CamelSchema):
    """The connection is in the room, and out of its previous one."""

    ok = fields.Boolean(required=True, validate=validate.OneOf([True]))
    room = _text()
    protocol_id = _text()
    seq = NumberText(required=True)
    state_url = _text()


class LeftAck(CamelSchema):
    """The connection is in no room."""

    ok = fields.Boolean(required=True, validate=validate.OneOf([True]))


class SessionExpired(CamelSchema):
    """The token has expired; the connection ends right after."""

    code = _text(validate=validate.OneOf(["TOKEN_EXPIRED"]))


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
