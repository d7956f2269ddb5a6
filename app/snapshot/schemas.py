from typing import ClassVar

from marshmallow import fields

from app.agents.models import AgentType
from app.agents.schemas import AgentTaskData
from app.audit.service import AuditAction
from app.core.pagination import page_schema
from app.core.schemas import CamelSchema, Choice, Identifier, Money, NumberText, Timestamp, doc
from app.core.values import MOMENT, PAYMENT, PROTOCOL
from app.payments.schemas import PaymentSchema
from app.protocols.schemas import CURRENCY, VERSION, PoolSchema, PoolTotals, ProtocolSchema
from app.vulnerabilities.schemas import VulnerabilityCounts, VulnerabilitySchema


class StateQuery(CamelSchema):
    agent_batches = fields.Boolean(
        load_default=False,
        metadata=doc(
            "The state for connections that joined with `agentBatches`: RUNNING updates come as one "
            "`agent:task_updates` a second, and `seq` counts those connections' events."
        ),
    )


class AgentState(AgentTaskData):
    """An agent that has reported in this protocol, with the data of its newest event."""

    name = fields.String(required=True, allow_none=True, metadata=doc("The agent's name.", "Scanner 7"))
    type = Choice(AgentType, required=True, allow_none=True, metadata=doc("The agent's type.", "RESEARCHER"))
    presence = Choice(
        ["ONLINE", "OFFLINE"],
        required=True,
        metadata=doc("ONLINE if the agent has reported within the last 120 seconds.", "ONLINE"),
    )
    last_seen = Timestamp(required=True, allow_none=True, metadata=doc("When it last reported; null if never.", MOMENT))


class VulnerabilityState(CamelSchema):
    """The open vulnerabilities, newest first, and the numbers of all."""

    open = fields.List(
        fields.Nested(VulnerabilitySchema),
        metadata=doc("The newest 1,000 with status PENDING or CONFIRMED, fewer if their descriptions are very long."),
    )
    open_truncated = fields.Boolean(
        metadata=doc("Whether there are more; list them page by page with `?status=PENDING` and `CONFIRMED`.", False)
    )
    counts = fields.Nested(VulnerabilityCounts)


class StateSchema(CamelSchema):
    """A protocol's complete state. `seq` is read first, so no event up to it is missing from the rest."""

    protocol = fields.Nested(ProtocolSchema)
    seq = NumberText(metadata=doc("Sequence number of the room's last event.", "42"))
    as_of = Timestamp(metadata=doc("When the snapshot was taken.", MOMENT))
    pool = fields.Nested(PoolSchema)
    agents = fields.List(
        fields.Nested(AgentState),
        metadata=doc("Agents that work or have reported within 24 hours, at most 1,000, with their current tasks."),
    )
    agents_truncated = fields.Boolean(
        metadata=doc("Whether there are more; `GET /agents?protocolId=` lists all, page by page.", False)
    )
    vulnerabilities = fields.Nested(VulnerabilityState)
    payments = fields.List(
        fields.Nested(PaymentSchema),
        metadata=doc("The latest 20 payments, and older ones that are FAILED; at most 100, newest first."),
    )


class StatsQuery(CamelSchema):
    protocol_id = Identifier(load_default=None, metadata=doc("Only this protocol; by default all that are granted."))


class CurrencySum(PoolTotals):
    currency = fields.String(metadata=CURRENCY)


class PoolSum(PoolSchema):
    """The sums over pools; `protocolId` and `version` are null over several protocols."""

    class Meta(PoolSchema.Meta):
        fields: ClassVar = (*PoolSchema.Meta.fields, "by_currency")

    protocol_id = fields.String(allow_none=True, metadata=doc("The protocol's id.", PROTOCOL))
    currency = fields.String(allow_none=True, metadata=CURRENCY)
    version = NumberText(allow_none=True, metadata=VERSION)
    by_currency = fields.List(
        fields.Nested(CurrencySum),
        metadata=doc("One item per currency; amounts of different currencies are never added up."),
    )


class PaymentSum(CamelSchema):
    """Released payments only; `total` in the currency of `bountyPool`."""

    total = Money(metadata=doc("Sum of released payments, in the currency of `bountyPool`.", "0.00"))
    count = NumberText(metadata=doc("The number of released payments.", "0"))
    last_payment = fields.Nested(PaymentSchema, allow_none=True, metadata=doc("The newest released payment.", None))


class AgentCounts(CamelSchema):
    online = NumberText(metadata=doc("Agents that have reported within the last 120 seconds.", "5"))
    busy = NumberText(metadata=doc("Online agents with a running task.", "3"))
    offline = NumberText(metadata=doc("Agents that have not reported for 120 seconds.", "2"))


class StatsSchema(CamelSchema):
    bounty_pool = fields.Nested(PoolSum)
    vulnerabilities = fields.Nested(VulnerabilityCounts)
    payments = fields.Nested(PaymentSum)
    agents = fields.Nested(AgentCounts)


class OpenCounts(CamelSchema):
    pending = NumberText(metadata=doc("Vulnerabilities that wait for a decision.", "2"))
    confirmed = NumberText(metadata=doc("Confirmed vulnerabilities that are not paid.", "1"))
    critical_open = NumberText(metadata=doc("Pending and confirmed vulnerabilities that are CRITICAL.", "1"))


class UnpaidCounts(CamelSchema):
    pending = NumberText(metadata=doc("Payments that are PENDING or PROCESSING.", "1"))
    failed = NumberText(metadata=doc("Payments that FAILED and wait for a retry or a cancellation.", "0"))


class RoomAgents(CamelSchema):
    online = NumberText(metadata=doc("Agents that have reported here within the last 120 seconds.", "5"))
    busy = NumberText(metadata=doc("Online agents with a running task here.", "3"))


class OverviewSchema(CamelSchema):
    """A protocol at a glance. `seq` is read before the rest, as in `/state`."""

    protocol_id = fields.String(metadata=doc("The protocol's id.", PROTOCOL))
    name = fields.String(metadata=doc("The protocol's name.", "Aave v3"))
    pool = fields.Nested(PoolSchema)
    vulnerabilities = fields.Nested(OpenCounts)
    payments = fields.Nested(UnpaidCounts)
    agents = fields.Nested(RoomAgents)
    seq = NumberText(metadata=doc("Sequence number of the room's last event; 0 if none is known.", "42"))
    last_event_at = Timestamp(
        allow_none=True, metadata=doc("When the room's last event left; null if none is known.", MOMENT)
    )


OverviewPage = page_schema(OverviewSchema)


class HistoryItemSchema(CamelSchema):
    """One action on a vulnerability or its payment; what does not apply to it is null."""

    at = Timestamp(metadata=doc("When it was done.", MOMENT))
    action = Choice(AuditAction, metadata=doc("What was done.", "PAYMENT_REQUESTED"))
    subject = fields.String(metadata=doc("Who did it: the token's `sub`, or `system`.", "owner-1"))
    role = fields.String(
        allow_none=True, metadata=doc("The role of the token, or `system`; null if it was not recorded.", "owner")
    )
    old_status = fields.String(
        allow_none=True, metadata=doc("The status before, of the payment if `paymentId` is set.", None)
    )
    new_status = fields.String(allow_none=True, metadata=doc("The status that the action set.", "PENDING"))
    bounty = fields.String(allow_none=True, metadata=doc("The bounty named at filing.", None))
    reserved = fields.String(
        allow_none=True, metadata=doc("What the vulnerability's reservation was afterwards.", None)
    )
    payment_id = fields.String(allow_none=True, metadata=doc("The payment, if it was about one.", PAYMENT))
    amount = fields.String(allow_none=True, metadata=doc("The payment's amount.", "2500.00"))
    recipient = fields.String(
        allow_none=True, metadata=doc("The payment's recipient.", "0x52908400098527886E0F7030069857D2")
    )
    reference = fields.String(allow_none=True, metadata=doc("The payout service's reference.", None))
    attempts = NumberText(allow_none=True, metadata=doc("How many times the payout service had been called.", "0"))
    reason = fields.String(allow_none=True, metadata=doc("Why it was rejected, or why the payment failed.", None))


HistoryPage = page_schema(HistoryItemSchema)
