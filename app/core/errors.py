"""The errors that a client can receive: one base with a stable code, one class per code.

The API documents derive their catalogue of codes from these classes: `status`, `example` and `example_members`.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar


class DomainError(Exception):
    """An error that is reported to the client.

    `code` is stable and UPPER_SNAKE; `status` is the HTTP status; `retry_after` is the number of seconds after which
    the same request may succeed; `fields` maps a field to its messages (422); `extra` holds further members of the
    problem object. `example` is the default detail and the one in the API documents; it is empty for codes that
    REST does not document.
    """

    code: str = "HTTP_ERROR"
    status: HTTPStatus = HTTPStatus.BAD_REQUEST
    retry_after: int | None = None
    example: ClassVar[str] = ""
    example_members: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self,
        detail: str | None = None,
        *,
        code: str | None = None,
        fields: dict[str, Any] | None = None,
        retry_after: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        self.detail = detail or self.example
        super().__init__(self.detail)
        self.code = code or self.code
        self.fields = fields
        self.retry_after = retry_after if retry_after is not None else self.retry_after
        self.extra = extra or {}

    @property
    def retryable(self) -> bool:
        return self.retry_after is not None


class BadRequest(DomainError):
    code, status = "BAD_REQUEST", HTTPStatus.BAD_REQUEST
    example = "The body is not valid JSON."


class Unauthorized(DomainError):
    code, status = "UNAUTHORIZED", HTTPStatus.UNAUTHORIZED
    example = "Send `Authorization: Bearer <token>`."


class TokenExpired(Unauthorized):
    code = "TOKEN_EXPIRED"
    example = "The token has expired."


class TokenRevoked(Unauthorized):
    code = "TOKEN_REVOKED"
    example = "The token was revoked."


class Forbidden(DomainError):
    code, status = "FORBIDDEN", HTTPStatus.FORBIDDEN
    example = "The role viewer may not: deposit."


class NotFound(DomainError):
    code, status = "NOT_FOUND", HTTPStatus.NOT_FOUND
    example = "There is nothing at /api/v1/nothing."


class ProtocolNotFound(NotFound):
    code = "PROTOCOL_NOT_FOUND"
    example = "There is no protocol 'aave-v4'."


class AgentNotFound(NotFound):
    code = "AGENT_NOT_FOUND"
    example = "There is no agent 'scanner-9'."


class VulnerabilityNotFound(NotFound):
    code = "VULNERABILITY_NOT_FOUND"
    example = "There is no vulnerability '019a8f00'."


class PaymentNotFound(NotFound):
    code = "PAYMENT_NOT_FOUND"
    example = "There is no payment '019a8f04'."


class MethodNotAllowed(DomainError):
    code, status = "METHOD_NOT_ALLOWED", HTTPStatus.METHOD_NOT_ALLOWED
    example = "The method is not allowed for the requested URL."


class Conflict(DomainError):
    code, status = "CONFLICT", HTTPStatus.CONFLICT
    example = "The request does not fit the present state."


class AlreadyExists(Conflict):
    code = "ALREADY_EXISTS"
    example = "There is a protocol 'aave-v3' already."


class AlreadyReserved(Conflict):
    code = "ALREADY_RESERVED"
    example = "A bounty is reserved for this vulnerability already: confirm without one."


class AmountTooLarge(Conflict):
    code = "AMOUNT_TOO_LARGE"
    example = "With 25000.00 more the pool would hold more than 999999999999.999999."


class IdempotencyKeyInUse(Conflict):
    code, retry_after = "IDEMPOTENCY_KEY_IN_USE", 1
    example = "A request with the Idempotency-Key 'deposit-17' is still running."


class IdempotencyKeyReused(Conflict):
    code = "IDEMPOTENCY_KEY_REUSED"
    example = "The Idempotency-Key 'deposit-17' was used for another request."


class InsufficientFunds(Conflict):
    code = "INSUFFICIENT_FUNDS"
    example = "2500.00 cannot be reserved: 1000.00 USDC available."


class InvalidTransition(Conflict):
    code = "INVALID_TRANSITION"
    example = "The vulnerability is REJECTED; only PENDING ones become CONFIRMED."
    example_members: ClassVar[Mapping[str, Any]] = {"currentStatus": "REJECTED"}


class QueueFull(Conflict):
    code = "QUEUE_FULL"
    example = "The agent has 1000 tasks waiting."


class BodyTooLarge(DomainError):
    code, status = "BODY_TOO_LARGE", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    example = "The data value transmitted exceeds the capacity limit."


class URITooLong(DomainError):
    code, status = "URI_TOO_LONG", HTTPStatus.REQUEST_URI_TOO_LONG


class UnsupportedMediaType(DomainError):
    code, status = "UNSUPPORTED_MEDIA_TYPE", HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    example = "Send JSON: `Content-Type: application/json`."


class InvalidInput(DomainError):
    code, status = "VALIDATION_FAILED", HTTPStatus.UNPROCESSABLE_ENTITY
    example = "The request has invalid fields."
    example_members: ClassVar[Mapping[str, Any]] = {"errors": {"amount": ["An amount must be more than zero."]}}


class UpgradeRequired(DomainError):
    code, status = "UPGRADE_REQUIRED", HTTPStatus.UPGRADE_REQUIRED


class TooManyRequests(DomainError):
    code, status, retry_after = "RATE_LIMITED", HTTPStatus.TOO_MANY_REQUESTS, 1
    example = "More than 1000 requests a second for this token."


class TooManyOpenAnswers(TooManyRequests):
    code = "TOO_MANY_OPEN_ANSWERS"
    example = "Too much of earlier answers is still unread: read them, or close their connections."


class HeadersTooLarge(DomainError):
    code, status = "HEADERS_TOO_LARGE", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


class InternalError(DomainError):
    code, status = "INTERNAL_ERROR", HTTPStatus.INTERNAL_SERVER_ERROR
    example = "The server failed to handle this request."


class NotSupported(DomainError):
    code, status = "NOT_IMPLEMENTED", HTTPStatus.NOT_IMPLEMENTED


class HTTPVersionNotSupported(DomainError):
    code, status = "HTTP_VERSION_NOT_SUPPORTED", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED


class DependencyUnavailable(DomainError):
    """A dependency does not answer or takes no writes; `dependency_errors` has a class for each cause."""

    code, status, retry_after = "DEPENDENCY_UNAVAILABLE", HTTPStatus.SERVICE_UNAVAILABLE, 1
    example = "A dependency did not answer."


class KeysUnavailable(DependencyUnavailable):
    code = "KEYS_UNAVAILABLE"
    example = "The identity provider's keys cannot be fetched."


HTTP_ERRORS: dict[int, type[DomainError]] = {
    each.status: each
    for each in (
        BadRequest,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        Conflict,
        BodyTooLarge,
        URITooLong,
        UnsupportedMediaType,
        InvalidInput,
        UpgradeRequired,
        TooManyRequests,
        HeadersTooLarge,
        InternalError,
        NotSupported,
        DependencyUnavailable,
        HTTPVersionNotSupported,
    )
}
"""The error of an HTTP status, for statuses that Werkzeug or the HTTP server report."""
