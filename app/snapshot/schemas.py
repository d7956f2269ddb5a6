"""What `/state` and `/stats` answer."""

from marshmallow import fields, validate

from app.agents.models import AgentType
from app.agents.schemas import AgentTaskData
from app.bounties.schemas import PoolSchema
from app.core.schemas import CamelSchema, Identifier, Money, NumberText, Timestamp
from app.payments.schemas import PaymentSchema
from app.protocols.schemas import ProtocolSchema
from app.vulnerabilities.schemas import VulnerabilityCounts, VulnerabilitySchema


class StateQuery(CamelSchema):
    agent_batches = fields.Boolean(load_default=False)


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


class StatsQuery(CamelSchema):
    protocol_id = Identifier(load_default=None)


class CurrencySum(CamelSchema):
    currency = fields.String()
    total = Money(attribute="total_minor")
    available = Money(attribute="available_minor")
    reserved = Money(attribute="reserved_minor")
    paid = Money(attribute="paid_minor")


class PoolSum(PoolSchema):
    """As a pool; over several protocols `protocolId` and `version` are null."""

    protocol_id = fields.String(allow_none=True)
    currency = fields.String(allow_none=True)
    version = NumberText(allow_none=True)
    by_currency = fields.List(fields.Nested(CurrencySum))


class PaymentSum(CamelSchema):
    """Released payments only; `total` in the currency of `bountyPool`."""

    total = Money()
    count = NumberText()
    last_payment = fields.Nested(PaymentSchema, allow_none=True)


class AgentCounts(CamelSchema):
    online = NumberText()
    busy = NumberText()
    offline = NumberText()


class StatsSchema(CamelSchema):
    bounty_pool = fields.Nested(PoolSum)
    vulnerabilities = fields.Nested(VulnerabilityCounts)
    payments = fields.Nested(PaymentSum)
    agents = fields.Nested(AgentCounts)
