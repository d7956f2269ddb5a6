"""What `/state` and `/stats` answer."""

from marshmallow import fields, validate

from app.agents.models import AgentType
from app.agents.schemas import AgentTaskData
from app.bounties.schemas import PoolSchema
from app.core.examples import MOMENT, PROTOCOL
from app.core.schemas import CamelSchema, Identifier, Money, NumberText, Timestamp, doc
from app.payments.schemas import PaymentSchema
from app.protocols.schemas import ProtocolSchema
from app.vulnerabilities.schemas import VulnerabilityCounts, VulnerabilitySchema


class StateQuery(CamelSchema):
    agent_batches = fields.Boolean(
        load_default=False,
        metadata=doc(
            "As connections that joined with `agentBatches` see it: RUNNING updates come as one `agent:task_updates` a second, and `seq` counts those connections' events."
        ),
    )


class AgentState(AgentTaskData):
    """An agent that was heard of in this protocol, as its newest event would tell it."""

    name = fields.String(required=True, allow_none=True, metadata=doc("The agent's name.", "Scanner 7"))
    type = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(list(AgentType)),
        metadata=doc("What kind of agent it is.", "RESEARCHER"),
    )
    presence = fields.String(
        required=True,
        validate=validate.OneOf(["ONLINE", "OFFLINE"]),
        metadata=doc("ONLINE when heard within the last 120 seconds.", "ONLINE"),
    )
    last_seen = Timestamp(
        required=True, allow_none=True, metadata=doc("When the agent was last heard; null if never.", MOMENT)
    )


class VulnerabilityState(CamelSchema):
    """The open ones, newest first, and how many there are of each kind."""

    open = fields.List(
        fields.Nested(VulnerabilitySchema),
        metadata=doc("PENDING and CONFIRMED ones, the newest 1,000, fewer where their descriptions are very long."),
    )
    open_truncated = fields.Boolean(
        metadata=doc("Whether there are more: list them by `status`, PENDING and CONFIRMED, page by page.", False)
    )
    counts = fields.Nested(VulnerabilityCounts)


class StateSchema(CamelSchema):
    """Where to start from and to come back to. `seq` is read before the rest: nothing newer than it is missing."""

    protocol = fields.Nested(ProtocolSchema)
    seq = NumberText(metadata=doc("Number of the room's last event; without gaps at the source.", "42"))
    as_of = Timestamp(metadata=doc("When the snapshot was taken.", MOMENT))
    pool = fields.Nested(PoolSchema)
    agents = fields.List(
        fields.Nested(AgentState),
        metadata=doc("Agents at work or heard within 24 hours, at most 1,000, each with its current task."),
    )
    agents_truncated = fields.Boolean(
        metadata=doc(
            "Whether more agents are at work or were heard within 24 hours than the 1,000 that `agents` shows: `GET /agents?protocolId=` lists all, page by page.",
            False,
        )
    )
    vulnerabilities = fields.Nested(VulnerabilityState)
    payments = fields.List(fields.Nested(PaymentSchema), metadata=doc("The latest 20 payments, newest first."))


class StatsQuery(CamelSchema):
    protocol_id = Identifier(load_default=None, metadata=doc("Id of the protocol it belongs to."))


class CurrencySum(CamelSchema):
    currency = fields.String(
        metadata=doc("What all amounts of the protocol are in; set once, when it is created.", "USDC")
    )
    total = Money(attribute="total_minor", metadata=doc("Sum of all deposits in this currency.", "25000.00"))
    available = Money(
        attribute="available_minor", metadata=doc("`total - reserved - paid`; never negative.", "22500.00")
    )
    reserved = Money(attribute="reserved_minor", metadata=doc("Held for pending validations and payments.", "2500.00"))
    paid = Money(attribute="paid_minor", metadata=doc("Sum of released payments.", "0.00"))


class PoolSum(PoolSchema):
    """As a pool; over several protocols `protocolId` and `version` are null."""

    protocol_id = fields.String(allow_none=True, metadata=doc("Id of the protocol it belongs to.", PROTOCOL))
    currency = fields.String(
        allow_none=True, metadata=doc("What all amounts of the protocol are in; set once, when it is created.", "USDC")
    )
    version = NumberText(
        allow_none=True, metadata=doc("Rises with every change; a lower or equal one is old news.", "2")
    )
    by_currency = fields.List(
        fields.Nested(CurrencySum),
        metadata=doc("One line per currency; amounts of different currencies are never added up."),
    )


class PaymentSum(CamelSchema):
    """Released payments only; `total` in the currency of `bountyPool`."""

    total = Money(metadata=doc("Sum of released payments, in the currency of `bountyPool`.", "0.00"))
    count = NumberText(metadata=doc("How many were released.", "0"))
    last_payment = fields.Nested(PaymentSchema, allow_none=True, metadata=doc("The newest released payment.", None))


class AgentCounts(CamelSchema):
    online = NumberText(metadata=doc("Heard within the last 120 seconds.", "5"))
    busy = NumberText(metadata=doc("Online, with a running task.", "3"))
    offline = NumberText(metadata=doc("Not heard for 120 seconds.", "2"))


class StatsSchema(CamelSchema):
    bounty_pool = fields.Nested(PoolSum)
    vulnerabilities = fields.Nested(VulnerabilityCounts)
    payments = fields.Nested(PaymentSum)
    agents = fields.Nested(AgentCounts)
