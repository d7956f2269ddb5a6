"""The errors that the application raises: one base with a stable code."""

from http import HTTPStatus
from typing import Any


class DomainError(Exception):
    """A refusal that a client can act on.

    `code` is stable and UPPER_SNAKE; `status` the HTTP status; `retry_after` seconds when trying again can help;
    `fields` maps a field to its messages (422); `extra` are further members of the problem object.
    """

    code = "BAD_REQUEST"
    status = HTTPStatus.BAD_REQUEST
    retry_after: int | None = None

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        fields: dict[str, Any] | None = None,
        retry_after: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.code
        self.fields = fields
        self.retry_after = retry_after if retry_after is not None else self.retry_after
        self.extra = extra or {}

    @property
    def retryable(self) -> bool:
        return self.retry_after is not None


class Unauthorized(DomainError):
    code, status = "UNAUTHORIZED", HTTPStatus.UNAUTHORIZED


class Forbidden(DomainError):
    code, status = "FORBIDDEN", HTTPStatus.FORBIDDEN


class NotFound(DomainError):
    code, status = "NOT_FOUND", HTTPStatus.NOT_FOUND


class Conflict(DomainError):
    code, status = "CONFLICT", HTTPStatus.CONFLICT


class AlreadyExists(Conflict):
    code = "ALREADY_EXISTS"


class InvalidInput(DomainError):
    code, status = "VALIDATION_FAILED", HTTPStatus.UNPROCESSABLE_ENTITY


class TooManyRequests(DomainError):
    code, status, retry_after = "RATE_LIMITED", HTTPStatus.TOO_MANY_REQUESTS, 1


class DependencyUnavailable(DomainError):
    """A database or Redis that does not answer; the same request may succeed in `retry_after` seconds."""

    code, status, retry_after = "DEPENDENCY_UNAVAILABLE", HTTPStatus.SERVICE_UNAVAILABLE, 1
