"""The objects of the REST API, as JSON has them.

Made from the OpenAPI document by `make docs`: do not edit.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

JsonObject = dict[str, Any]


class Accepted(TypedDict):
    accepted: str


class Agent(TypedDict):
    id: str
    name: str
    type: Literal["PROTOCOL", "RESEARCHER", "VALIDATOR"]
    status: Literal["ONLINE", "OFFLINE"]
    lastSeen: str | None
    currentTask: CurrentTask | None
    createdAt: str


class AgentCounts(TypedDict):
    online: str
    busy: str
    offline: str


class AgentPage(TypedDict):
    items: list[Agent]
    nextCursor: str | None


class AgentState(TypedDict):
    task: str
    progress: str
    estimatedCompletion: str | None
    version: str
    agentId: str
    status: Literal["RUNNING", "COMPLETED", "FAILED", "IDLE"]
    error: TaskError | None
    nextTask: str | None
    name: str | None
    type: Literal["PROTOCOL", "RESEARCHER", "VALIDATOR"] | None
    presence: Literal["ONLINE", "OFFLINE"]
    lastSeen: str | None


class AgentTaskData(TypedDict):
    task: str
    progress: str
    estimatedCompletion: str | None
    version: str
    agentId: str
    status: Literal["RUNNING", "COMPLETED", "FAILED", "IDLE"]
    error: TaskError | None
    nextTask: str | None


class AgentTaskUpdateWebhook(TypedDict):
    type: Literal["agent:task_update"]
    timestamp: str
    protocolId: str
    data: AgentTaskData


class Attempt(TypedDict):
    at: str
    responseCode: str | None
    durationMs: str | None
    error: str | None


class AuditEntry(TypedDict):
    id: str
    at: str
    action: Literal[
        "DEPOSIT",
        "VULNERABILITY_FILED",
        "VULNERABILITY_CONFIRMED",
        "VULNERABILITY_REJECTED",
        "PAYMENT_REQUESTED",
        "PAYMENT_RETRIED",
        "PAYMENT_RELEASED",
        "PAYMENT_FAILED",
        "PAYMENT_CANCELLED",
        "TOKEN_ISSUED",
        "TOKEN_REVOKED",
        "WEBHOOK_CREATED",
        "WEBHOOK_DELETED",
        "WEBHOOK_ENABLED",
        "WEBHOOK_DISABLED",
        "WEBHOOK_SECRET_ROTATED",
        "WEBHOOK_TESTED",
        "WEBHOOK_REDELIVERED",
    ]
    subject: str
    role: str
    tokenId: str | None
    address: str | None
    requestId: str
    protocolId: str | None
    targetId: str
    before: JsonObject | None
    after: JsonObject | None


class AuditEntryPage(TypedDict):
    items: list[AuditEntry]
    nextCursor: str | None


class BatchAnswer(TypedDict):
    accepted: str
    rejected: list[Rejected]


class _BatchUpdateRequired(TypedDict):
    protocolId: str
    task: str
    agentId: str


class BatchUpdate(_BatchUpdateRequired, total=False):
    progress: float | None
    status: Literal["RUNNING", "COMPLETED", "FAILED"]
    estimatedCompletion: str | None
    error: str | TaskError | None
    nextTask: str | None


class _BountyPoolDataRequired(TypedDict):
    total: str
    available: str
    reserved: str
    paid: str
    changeType: Literal["DEPOSIT", "RESERVATION", "RESERVATION_RELEASED", "PAYMENT_RELEASED"]
    amount: str
    currency: str
    version: str


class BountyPoolData(_BountyPoolDataRequired, total=False):
    vulnerabilityId: str
    paymentId: str
    reference: str


class BountyPoolUpdatedWebhook(TypedDict):
    type: Literal["bounty_pool:updated"]
    timestamp: str
    protocolId: str
    data: BountyPoolData


class CurrencySum(TypedDict):
    total: str
    available: str
    reserved: str
    paid: str
    currency: str


class CurrentTask(TypedDict):
    task: str
    progress: str
    estimatedCompletion: str | None
    version: str
    protocolId: str
    status: Literal["RUNNING", "FAILED"]
    error: JsonObject | None


class Deposit(TypedDict):
    entry: LedgerEntry
    pool: Pool


class Health(TypedDict):
    status: Literal["ok"]
    version: str


class HistoryItem(TypedDict):
    at: str
    action: Literal[
        "DEPOSIT",
        "VULNERABILITY_FILED",
        "VULNERABILITY_CONFIRMED",
        "VULNERABILITY_REJECTED",
        "PAYMENT_REQUESTED",
        "PAYMENT_RETRIED",
        "PAYMENT_RELEASED",
        "PAYMENT_FAILED",
        "PAYMENT_CANCELLED",
        "TOKEN_ISSUED",
        "TOKEN_REVOKED",
        "WEBHOOK_CREATED",
        "WEBHOOK_DELETED",
        "WEBHOOK_ENABLED",
        "WEBHOOK_DISABLED",
        "WEBHOOK_SECRET_ROTATED",
        "WEBHOOK_TESTED",
        "WEBHOOK_REDELIVERED",
    ]
    subject: str
    role: str | None
    oldStatus: str | None
    newStatus: str | None
    bounty: str | None
    reserved: str | None
    paymentId: str | None
    amount: str | None
    recipient: str | None
    reference: str | None
    attempts: str | None
    reason: str | None


class HistoryItemPage(TypedDict):
    items: list[HistoryItem]
    nextCursor: str | None


class IssuedToken(TypedDict):
    jti: str
    sub: str
    role: Literal["agent", "viewer", "validator", "owner", "admin"]
    protocols: list[str]
    issuedAt: str
    expiresAt: str
    issuedBy: str
    revoked: bool


class IssuedTokenPage(TypedDict):
    items: list[IssuedToken]
    nextCursor: str | None


class LedgerEntry(TypedDict):
    id: str
    protocolId: str
    changeType: Literal["DEPOSIT", "RESERVATION", "RESERVATION_RELEASED", "PAYMENT_RELEASED"]
    amount: str
    total: str
    available: str
    reserved: str
    paid: str
    version: str
    vulnerabilityId: str | None
    paymentId: str | None
    reference: str | None
    actor: str
    createdAt: str


class LedgerEntryPage(TypedDict):
    items: list[LedgerEntry]
    nextCursor: str | None


class NewToken(TypedDict):
    token: str
    jti: str
    expiresAt: str


class NewWebhook(TypedDict):
    id: str
    protocolId: str
    url: str
    eventTypes: list[
        Literal[
            "bounty_pool:updated",
            "vuln:discovered",
            "vuln:status_changed",
            "payment:status_changed",
            "agent:task_update",
            "*",
        ]
    ]
    severities: list[Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"]] | None
    description: str | None
    status: Literal["ENABLED", "DISABLED"]
    disabledReason: str | None
    failingSince: str | None
    previousSecretExpiresAt: str | None
    createdAt: str
    secret: str


class OpenCounts(TypedDict):
    pending: str
    confirmed: str
    criticalOpen: str


class Overview(TypedDict):
    protocolId: str
    name: str
    pool: Pool
    vulnerabilities: OpenCounts
    payments: UnpaidCounts
    agents: RoomAgents
    seq: str
    lastEventAt: str | None


class OverviewPage(TypedDict):
    items: list[Overview]
    nextCursor: str | None


class Payment(TypedDict):
    id: str
    vulnerabilityId: str
    protocolId: str
    amount: str
    currency: str
    recipient: str
    status: Literal["PENDING", "PROCESSING", "RELEASED", "FAILED", "CANCELLED"]
    failureReason: str | None
    lastError: str | None
    reference: str | None
    attempts: str
    nextAttemptAt: str | None
    mayBePaid: bool
    version: str
    createdAt: str
    releasedAt: str | None


class PaymentPage(TypedDict):
    items: list[Payment]
    nextCursor: str | None


class PaymentStatusChangedWebhook(TypedDict):
    type: Literal["payment:status_changed"]
    timestamp: str
    protocolId: str
    data: PaymentStatusData


class PaymentStatusData(TypedDict):
    paymentId: str
    vulnerabilityId: str
    oldStatus: Literal["PENDING", "PROCESSING", "FAILED"] | None
    newStatus: Literal["PENDING", "FAILED", "RELEASED", "CANCELLED"]
    amount: str
    currency: str
    failureReason: str | None
    attempts: str
    version: str
    changedAt: str


class PaymentSum(TypedDict):
    total: str
    count: str
    lastPayment: Payment | None


class Pool(TypedDict):
    protocolId: str
    currency: str
    total: str
    available: str
    reserved: str
    paid: str
    version: str


class PoolSum(TypedDict):
    protocolId: str | None
    currency: str | None
    total: str
    available: str
    reserved: str
    paid: str
    version: str | None
    byCurrency: list[CurrencySum]


class _ProblemRequired(TypedDict):
    type: str
    title: str
    status: int
    detail: str
    code: Literal[
        "AGENT_NOT_FOUND",
        "ALREADY_EXISTS",
        "ALREADY_RESERVED",
        "AMOUNT_TOO_LARGE",
        "BAD_REQUEST",
        "BODY_TOO_LARGE",
        "CONFLICT",
        "DATABASE_BUSY",
        "DATABASE_FULL",
        "DATABASE_READ_ONLY",
        "DATABASE_UNAVAILABLE",
        "DEPENDENCY_UNAVAILABLE",
        "FORBIDDEN",
        "IDEMPOTENCY_KEY_IN_USE",
        "IDEMPOTENCY_KEY_REUSED",
        "INSUFFICIENT_FUNDS",
        "INTERNAL_ERROR",
        "INVALID_TICKET",
        "INVALID_TRANSITION",
        "KEYS_UNAVAILABLE",
        "METHOD_NOT_ALLOWED",
        "NOT_ACCEPTABLE",
        "NOT_FOUND",
        "NOT_IMPLEMENTED",
        "PAYMENT_NOT_FOUND",
        "PAYMENT_UNCERTAIN",
        "PROTOCOL_NOT_FOUND",
        "QUEUE_FULL",
        "RATE_LIMITED",
        "REALTIME_UNAVAILABLE",
        "REDIS_FULL",
        "REDIS_READ_ONLY",
        "REDIS_UNAVAILABLE",
        "SCHEMA_OUTDATED",
        "TOKENS_ISSUED_ELSEWHERE",
        "TOKEN_EXPIRED",
        "TOKEN_IN_URL",
        "TOKEN_REVOKED",
        "TOO_MANY_CONNECTIONS",
        "TOO_MANY_EXPORTS",
        "TOO_MANY_OPEN_ANSWERS",
        "TOO_MANY_WEBHOOKS",
        "UNAUTHORIZED",
        "UNSUPPORTED_MEDIA_TYPE",
        "VALIDATION_FAILED",
        "VULNERABILITY_NOT_FOUND",
        "WEBHOOKS_NOT_CONFIGURED",
        "WEBHOOK_DELIVERY_NOT_FOUND",
        "WEBHOOK_DISABLED",
        "WEBHOOK_NOT_FOUND",
    ]
    requestId: str


class Problem(_ProblemRequired, total=False):
    """An error (RFC 9457)."""

    errors: JsonObject
    parts: JsonObject
    currentStatus: str


class Protocol(TypedDict):
    id: str
    name: str
    currency: str
    createdAt: str


class ProtocolPage(TypedDict):
    items: list[Protocol]
    nextCursor: str | None


class _ReadinessRequired(TypedDict):
    status: Literal["ok"]
    parts: JsonObject


class Readiness(_ReadinessRequired, total=False):
    silent: list[str]


class Rejected(TypedDict):
    index: str
    errors: JsonObject


class RevokedToken(TypedDict):
    id: str
    jti: str | None
    subject: str | None
    reason: str
    revokedBy: str
    revokedAt: str
    expiresAt: str | None


class RevokedTokenPage(TypedDict):
    items: list[RevokedToken]
    nextCursor: str | None


class RoomAgents(TypedDict):
    online: str
    busy: str


class State(TypedDict):
    protocol: Protocol
    seq: str
    asOf: str
    pool: Pool
    agents: list[AgentState]
    agentsTruncated: bool
    vulnerabilities: VulnerabilityState
    payments: list[Payment]


class Stats(TypedDict):
    bountyPool: PoolSum
    vulnerabilities: VulnerabilityCounts
    payments: PaymentSum
    agents: AgentCounts


class StreamTicket(TypedDict):
    ticket: str
    expiresAt: str


class Task(TypedDict):
    id: str
    agentId: str
    protocolId: str
    name: str
    status: Literal["QUEUED", "RUNNING", "COMPLETED", "FAILED", "SUPERSEDED"]
    createdAt: str
    startedAt: str | None
    closedAt: str | None
    error: JsonObject | None


class _TaskErrorRequired(TypedDict):
    message: str


class TaskError(_TaskErrorRequired, total=False):
    code: str | None


class TaskPage(TypedDict):
    items: list[Task]
    nextCursor: str | None


class UnpaidCounts(TypedDict):
    pending: str
    failed: str


class VulnDiscoveredData(TypedDict):
    vulnerabilityId: str
    title: str
    severity: Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"]
    status: Literal["PENDING"]
    bounty: str | None
    agentId: str | None
    version: str
    createdAt: str


class VulnDiscoveredWebhook(TypedDict):
    type: Literal["vuln:discovered"]
    timestamp: str
    protocolId: str
    data: VulnDiscoveredData


class VulnStatusChangedWebhook(TypedDict):
    type: Literal["vuln:status_changed"]
    timestamp: str
    protocolId: str
    data: VulnStatusData


class _VulnStatusDataRequired(TypedDict):
    vulnerabilityId: str
    oldStatus: Literal["PENDING", "CONFIRMED"]
    newStatus: Literal["CONFIRMED", "REJECTED", "PAID"]
    severity: Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"]
    version: str
    changedAt: str


class VulnStatusData(_VulnStatusDataRequired, total=False):
    paymentAmount: str
    paymentId: str
    rejectionReason: str


class Vulnerability(TypedDict):
    id: str
    protocolId: str
    title: str
    description: str | None
    severity: Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"]
    status: Literal["PENDING", "CONFIRMED", "REJECTED", "PAID"]
    bounty: str | None
    reserved: str
    agentId: str | None
    rejectionReason: str | None
    paymentId: str | None
    version: str
    createdAt: str
    updatedAt: str


class VulnerabilityCounts(TypedDict):
    total: str
    bySeverity: JsonObject
    byStatus: JsonObject


class VulnerabilityPage(TypedDict):
    items: list[Vulnerability]
    nextCursor: str | None


class VulnerabilityState(TypedDict):
    open: list[Vulnerability]
    openTruncated: bool
    counts: VulnerabilityCounts


class Webhook(TypedDict):
    id: str
    protocolId: str
    url: str
    eventTypes: list[
        Literal[
            "bounty_pool:updated",
            "vuln:discovered",
            "vuln:status_changed",
            "payment:status_changed",
            "agent:task_update",
            "*",
        ]
    ]
    severities: list[Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"]] | None
    description: str | None
    status: Literal["ENABLED", "DISABLED"]
    disabledReason: str | None
    failingSince: str | None
    previousSecretExpiresAt: str | None
    createdAt: str


class WebhookDelivery(TypedDict):
    id: str
    webhookId: str
    eventType: str
    status: Literal["PENDING", "SUCCEEDED", "FAILED"]
    attempts: str
    responseCode: str | None
    durationMs: str | None
    error: str | None
    nextAttemptAt: str | None
    createdAt: str
    finishedAt: str | None
    history: list[Attempt]


class WebhookDeliveryPage(TypedDict):
    items: list[WebhookDelivery]
    nextCursor: str | None


class WebhookPage(TypedDict):
    items: list[Webhook]
    nextCursor: str | None


class WebhookTestData(TypedDict):
    webhookId: str
    requestedBy: str


class WebhookTestWebhook(TypedDict):
    type: Literal["webhook:test"]
    timestamp: str
    protocolId: str
    data: WebhookTestData
