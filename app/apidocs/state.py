"""The snapshot as its readers see it. The protocols' feature stands below those whose parts it shows, so its own
schema cannot name them; here everything is known."""

from marshmallow import fields, validate

from app.agents.models import AgentType
from app.agents.schemas import BatchUpdate
from app.apidocs.events import AgentTaskData
from app.bounties.schemas import PoolSchema
from app.core.schemas import CamelSchema, NumberText, Timestamp
from app.payments.schemas import PaymentSchema
from app.protocols.schemas import ProtocolSchema
from app.vulnerabilities.schemas import VulnerabilityCounts, VulnerabilitySchema


class AgentState(AgentTaskData):
    """An agent that was heard of in this protocol, as its newest event would tell it."""

    name = fields.String(required=True, allow_none=True)
    type = fields.String(required=True, allow_none=True, validate=validate.OneOf(list(AgentType)))
    presence = fields.String(required=True, validate=validate.OneOf(["ONLINE", "OFFLINE"]))
    last_seen = Timestamp(required=True, allow_none=True)


class VulnerabilityState(CamelSchema):
    """The open ones, newest first, and how many there are of each kind."""

    open = fields.List(fields.Nested(VulnerabilitySchema))
    open_truncated = fields.Boolean()
    counts = fields.Nested(VulnerabilityCounts)


class StateSchema(CamelSchema):
    """Where to start from and to come back to. `seq` is read before the rest: nothing newer than it is missing."""

    protocol = fields.Nested(ProtocolSchema)
    seq = NumberText()
    as_of = Timestamp()
    pool = fields.Nested(PoolSchema)
    agents = fields.List(fields.Nested(AgentState))
    agents_truncated = fields.Boolean()
    vulnerabilities = fields.Nested(VulnerabilityState)
    payments = fields.List(fields.Nested(PaymentSchema))


class Batch(CamelSchema):
    """Each update is judged by itself: the good ones are accepted, the others answered by their index."""

    updates = fields.List(fields.Nested(BatchUpdate), required=True, validate=validate.Length(min=1, max=500))


REPLACED = (StateSchema, Batch)
"""Schemas of the same name in the features, told in full here."""
