"""What the REST operations are, for both clients.

Made from the OpenAPI document by `make docs`: do not edit.
"""

from dashboard_realtime.rest import types
from dashboard_realtime.rest.requests import Operation

ASYNCAPI: Operation[types.JsonObject] = Operation("GET", "/asyncapi.json")
CANCEL_PAYMENT: Operation[types.Payment] = Operation("POST", "/api/v1/payments/{paymentId}/cancel", is_idempotent=True)
CONFIRM_VULNERABILITY: Operation[types.Vulnerability] = Operation(
    "POST", "/api/v1/vulnerabilities/{vulnerabilityId}/confirm", is_idempotent=True
)
CREATE_AGENT: Operation[types.Agent] = Operation("POST", "/api/v1/agents")
CREATE_DEPOSIT: Operation[types.Deposit] = Operation(
    "POST", "/api/v1/protocols/{protocolId}/deposits", is_idempotent=True
)
CREATE_PROTOCOL: Operation[types.Protocol] = Operation("POST", "/api/v1/protocols")
CREATE_STREAM_TICKET: Operation[types.StreamTicket] = Operation("POST", "/api/v1/protocols/{protocolId}/stream-tickets")
CREATE_WEBHOOK: Operation[types.NewWebhook] = Operation(
    "POST", "/api/v1/protocols/{protocolId}/webhooks", is_idempotent=True
)
DELETE_WEBHOOK: Operation[None] = Operation("DELETE", "/api/v1/webhooks/{webhookId}")
DISABLE_WEBHOOK: Operation[types.Webhook] = Operation(
    "POST", "/api/v1/webhooks/{webhookId}/disable", is_idempotent=True
)
ENABLE_WEBHOOK: Operation[types.Webhook] = Operation("POST", "/api/v1/webhooks/{webhookId}/enable", is_idempotent=True)
FILE_VULNERABILITY: Operation[types.Vulnerability] = Operation(
    "POST", "/api/v1/protocols/{protocolId}/vulnerabilities", is_idempotent=True
)
GET_AGENT: Operation[types.Agent] = Operation("GET", "/api/v1/agents/{agentId}")
GET_HISTORY: Operation[types.HistoryItem] = Operation("GET", "/api/v1/vulnerabilities/{vulnerabilityId}/history")
GET_OVERVIEW: Operation[types.Overview] = Operation("GET", "/api/v1/overview")
GET_PAYMENT: Operation[types.Payment] = Operation("GET", "/api/v1/payments/{paymentId}")
GET_POOL: Operation[types.Pool] = Operation("GET", "/api/v1/protocols/{protocolId}/pool")
GET_PROTOCOL: Operation[types.Protocol] = Operation("GET", "/api/v1/protocols/{protocolId}")
GET_STATE: Operation[types.State] = Operation("GET", "/api/v1/protocols/{protocolId}/state")
GET_STATS: Operation[types.Stats] = Operation("GET", "/api/v1/stats")
GET_VULNERABILITY: Operation[types.Vulnerability] = Operation("GET", "/api/v1/vulnerabilities/{vulnerabilityId}")
GET_WEBHOOK: Operation[types.Webhook] = Operation("GET", "/api/v1/webhooks/{webhookId}")
HEALTHZ: Operation[types.Health] = Operation("GET", "/healthz")
ISSUE_TOKEN: Operation[types.NewToken] = Operation("POST", "/api/v1/tokens")
LIST_AGENTS: Operation[types.Agent] = Operation("GET", "/api/v1/agents")
LIST_AUDIT: Operation[types.AuditEntry] = Operation("GET", "/api/v1/audit")
LIST_DELIVERIES: Operation[types.WebhookDelivery] = Operation("GET", "/api/v1/webhooks/{webhookId}/deliveries")
LIST_ENTRIES: Operation[types.LedgerEntry] = Operation("GET", "/api/v1/protocols/{protocolId}/pool/entries")
LIST_ISSUED: Operation[types.IssuedToken] = Operation("GET", "/api/v1/tokens")
LIST_PAYMENTS: Operation[types.Payment] = Operation("GET", "/api/v1/protocols/{protocolId}/payments")
LIST_PROTOCOLS: Operation[types.Protocol] = Operation("GET", "/api/v1/protocols")
LIST_REVOKED: Operation[types.RevokedToken] = Operation("GET", "/api/v1/tokens/revoked")
LIST_TASKS: Operation[types.Task] = Operation("GET", "/api/v1/agents/{agentId}/tasks")
LIST_VULNERABILITIES: Operation[types.Vulnerability] = Operation(
    "GET", "/api/v1/protocols/{protocolId}/vulnerabilities"
)
LIST_WEBHOOKS: Operation[types.Webhook] = Operation("GET", "/api/v1/protocols/{protocolId}/webhooks")
OPENAPI: Operation[types.JsonObject] = Operation("GET", "/openapi.json")
PROMETHEUS: Operation[str] = Operation("GET", "/metrics", is_text=True)
QUEUE_TASK: Operation[types.Task] = Operation("POST", "/api/v1/agents/{agentId}/tasks", is_idempotent=True)
READYZ: Operation[types.Readiness] = Operation("GET", "/readyz")
REDELIVER: Operation[types.WebhookDelivery] = Operation(
    "POST", "/api/v1/webhook-deliveries/{deliveryId}/redeliver", is_idempotent=True
)
REJECT_VULNERABILITY: Operation[types.Vulnerability] = Operation(
    "POST", "/api/v1/vulnerabilities/{vulnerabilityId}/reject", is_idempotent=True
)
REPORT_BATCH: Operation[types.BatchAnswer] = Operation("POST", "/api/v1/progress", is_idempotent=True)
REPORT_PROGRESS: Operation[types.Accepted] = Operation("POST", "/api/v1/agents/{agentId}/progress", is_idempotent=True)
REQUEST_PAYMENT: Operation[types.Payment] = Operation(
    "POST", "/api/v1/vulnerabilities/{vulnerabilityId}/payment", is_idempotent=True
)
RETRY_PAYMENT: Operation[types.Payment] = Operation("POST", "/api/v1/payments/{paymentId}/retry", is_idempotent=True)
REVOKE_TOKEN: Operation[types.RevokedToken] = Operation("POST", "/api/v1/tokens/revoke")
ROTATE_SECRET: Operation[types.NewWebhook] = Operation(
    "POST", "/api/v1/webhooks/{webhookId}/rotate-secret", is_idempotent=True
)
SEND_TEST: Operation[types.WebhookDelivery] = Operation("POST", "/api/v1/webhooks/{webhookId}/test", is_idempotent=True)
