"""The errors that a client can receive: one base with a stable code, one class per code.

The API documents derive their catalogue of codes from these classes: `status`, `example` and `example_members`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

Members = dict[str, Any]


class DomainError(Exception):
    """An error that is reported to the client.

    `code` is stable and UPPER_SNAKE; `status` is the HTTP status; `retry_after` is the number of seconds after which
    the same request may succeed; `fields` maps a field to its messages (422); `extra` holds further members of the
    problem object. `example` is the default detail and the one in the API documents; it is empty for codes that
    REST does not document.
    """

    code: str = "HTTP_ERROR"
    status: int = 400
    retry_after: int | None = None
    example: ClassVar[str] = ""
    example_members: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self, detail: str = "", *, code: str | None = None, fields: Members | None = None, extra: Members | None = None
    ) -> None:
        self.detail = detail or self.example
        super().__init__(self.detail)
        self.code = code or self.code
        self.fields = fields
        self.extra = extra or {}


class DependencyUnavailable(DomainError):
    """A dependency does not answer or takes no writes; `dependency_errors` has a class for each cause."""

    code, status, retry_after = "DEPENDENCY_UNAVAILABLE", 503, 1
    example = "A dependency did not answer."


Kind = TypeVar("Kind", bound=DomainError)


def define(base: type[Kind], code: str, example: str = "", **attributes: Any) -> type[Kind]:
    """The error class of a code, a subclass of `base`; its name is the code in CamelCase."""
    return type(code.title().replace("_", ""), (base,), {"code": code, "example": example, **attributes})


BadRequest = define(DomainError, "BAD_REQUEST", "The body is not valid JSON.", status=400)
Unauthorized = define(DomainError, "UNAUTHORIZED", "Send `Authorization: Bearer <token>`.", status=401)
TokenExpired = define(Unauthorized, "TOKEN_EXPIRED", "The token has expired.")
TokenRevoked = define(Unauthorized, "TOKEN_REVOKED", "The token was revoked.")
InvalidTicket = define(
    Unauthorized, "INVALID_TICKET", "The ticket was used, has expired, or is not for this protocol: get another one."
)
TokenInUrl = define(
    Unauthorized, "TOKEN_IN_URL", "A token in a URL would be logged: send it in a header, or get a `ticket` for it."
)
Forbidden = define(DomainError, "FORBIDDEN", "The role viewer may not: deposit.", status=403)
NotFound = define(DomainError, "NOT_FOUND", "There is nothing at /api/v1/nothing.", status=404)
ProtocolNotFound = define(NotFound, "PROTOCOL_NOT_FOUND", "There is no protocol 'aave-v4'.")
AgentNotFound = define(NotFound, "AGENT_NOT_FOUND", "There is no agent 'scanner-9'.")
VulnerabilityNotFound = define(NotFound, "VULNERABILITY_NOT_FOUND", "There is no vulnerability '019a8f00'.")
PaymentNotFound = define(NotFound, "PAYMENT_NOT_FOUND", "There is no payment '019a8f04'.")
WebhookNotFound = define(NotFound, "WEBHOOK_NOT_FOUND", "There is no webhook '019a8f05'.")
WebhookDeliveryNotFound = define(NotFound, "WEBHOOK_DELIVERY_NOT_FOUND", "There is no webhook delivery '019a8f06'.")
MethodNotAllowed = define(
    DomainError, "METHOD_NOT_ALLOWED", "The method is not allowed for the requested URL.", status=405
)
NotAcceptable = define(
    DomainError, "NOT_ACCEPTABLE", "This is a stream of events: send `Accept: text/event-stream`.", status=406
)
Conflict = define(DomainError, "CONFLICT", "The request does not fit the present state.", status=409)
AlreadyExists = define(Conflict, "ALREADY_EXISTS", "There is a protocol 'aave-v3' already.")
AlreadyReserved = define(
    Conflict, "ALREADY_RESERVED", "A bounty is reserved for this vulnerability already: confirm without one."
)
AmountTooLarge = define(
    Conflict, "AMOUNT_TOO_LARGE", "With 25000.00 more the pool would hold more than 999999999999.999999."
)
IdempotencyKeyInUse = define(
    Conflict,
    "IDEMPOTENCY_KEY_IN_USE",
    "A request with the Idempotency-Key 'deposit-17' is still running.",
    retry_after=1,
)
IdempotencyKeyReused = define(
    Conflict, "IDEMPOTENCY_KEY_REUSED", "The Idempotency-Key 'deposit-17' was used for another request."
)
InsufficientFunds = define(Conflict, "INSUFFICIENT_FUNDS", "2500.00 cannot be reserved: 1000.00 USDC available.")
InvalidTransition = define(
    Conflict,
    "INVALID_TRANSITION",
    "The vulnerability is REJECTED; only PENDING ones become CONFIRMED.",
    example_members={"currentStatus": "REJECTED"},
)
PaymentUncertain = define(
    Conflict, "PAYMENT_UNCERTAIN", "The payment may have been paid: retry it to the same recipient to find out."
)
TokensIssuedElsewhere = define(
    Conflict, "TOKENS_ISSUED_ELSEWHERE", "Tokens come from the identity provider: DASHBOARD_JWKS_URL is set."
)
TooManyWebhooks = define(Conflict, "TOO_MANY_WEBHOOKS", "The protocol has 20 webhooks: delete one first.")
WebhookDisabled = define(Conflict, "WEBHOOK_DISABLED", "The webhook is disabled: enable it first.")
WebhooksNotConfigured = define(
    Conflict, "WEBHOOKS_NOT_CONFIGURED", "The operator has to set WEBHOOK_ENCRYPTION_KEY, which protects the secrets."
)
QueueFull = define(Conflict, "QUEUE_FULL", "The agent has 1000 tasks waiting.")
BodyTooLarge = define(
    DomainError, "BODY_TOO_LARGE", "The data value transmitted exceeds the capacity limit.", status=413
)
URITooLong = define(DomainError, "URI_TOO_LONG", status=414)
UnsupportedMediaType = define(
    DomainError, "UNSUPPORTED_MEDIA_TYPE", "Send JSON: `Content-Type: application/json`.", status=415
)
InvalidInput = define(
    DomainError,
    "VALIDATION_FAILED",
    "The request has invalid fields.",
    status=422,
    example_members={"errors": {"amount": ["An amount must be more than zero."]}},
)
UpgradeRequired = define(DomainError, "UPGRADE_REQUIRED", status=426)
TooManyRequests = define(
    DomainError, "RATE_LIMITED", "More than 1000 requests a second for this token.", status=429, retry_after=1
)
TooManyOpenAnswers = define(
    TooManyRequests,
    "TOO_MANY_OPEN_ANSWERS",
    "Too much of earlier answers is still unread: read them, or close their connections.",
)
TooManyConnections = define(TooManyRequests, "TOO_MANY_CONNECTIONS", "This token has reached its limit of connections.")
TooManyExports = define(
    TooManyRequests, "TOO_MANY_EXPORTS", "Two exports of this token are running: read them, or close their connections."
)
HeadersTooLarge = define(DomainError, "HEADERS_TOO_LARGE", status=431)
InternalError = define(DomainError, "INTERNAL_ERROR", "The server failed to handle this request.", status=500)
NotSupported = define(
    DomainError,
    "NOT_IMPLEMENTED",
    "This server serves REST alone: streams need the server of `dashboard web`.",
    status=501,
)
HTTPVersionNotSupported = define(DomainError, "HTTP_VERSION_NOT_SUPPORTED", status=505)
RealtimeUnavailable = define(
    DependencyUnavailable, "REALTIME_UNAVAILABLE", "Redis did not confirm the subscription within 2 s."
)
KeysUnavailable = define(DependencyUnavailable, "KEYS_UNAVAILABLE", "The identity provider's keys cannot be fetched.")

HTTP_ERRORS: dict[int, type[DomainError]] = {each.status: each for each in DomainError.__subclasses__()}
"""The error of an HTTP status, for statuses that Werkzeug or the HTTP server report."""
