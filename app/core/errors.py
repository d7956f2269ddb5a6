"""One error base with a stable code, and the one handler that writes problem+json (RFC 9457)."""

from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, request
from flask import json as flask_json
from marshmallow.exceptions import SCHEMA
from werkzeug.exceptions import ClientDisconnected, HTTPException

from app.http.problems import CODES_BY_STATUS, PROBLEM_TYPE, members


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


def problem(error: DomainError) -> Response:
    """Write one error as `application/problem+json`."""
    body = members(error.status, error.code, error.detail, g.get("request_id", "")) | error.extra
    if error.fields is not None:
        body["errors"] = error.fields
    response = Response(flask_json.dumps(body), status=int(error.status), content_type=PROBLEM_TYPE)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def from_http_exception(error: HTTPException) -> DomainError:
    """Translate what Flask, Werkzeug and webargs raise into the house's own error."""
    status = error.code or 500
    messages = (getattr(error, "data", None) or {}).get("messages")
    translated = DomainError(_detail(error, messages), code=CODES_BY_STATUS.get(status, "HTTP_ERROR"))
    translated.status = HTTPStatus(status)
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        translated.fields = _flatten(messages)
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        translated.retry_after = 1
    return translated


def _detail(error: HTTPException, messages: Any) -> str:
    if error.code == HTTPStatus.NOT_FOUND:
        return f"There is nothing at {request.path}."
    if error.code == HTTPStatus.UNPROCESSABLE_ENTITY:
        return "The request has invalid fields."
    if error.code == HTTPStatus.BAD_REQUEST and messages:
        return "The body is not valid JSON."
    if isinstance(error, ClientDisconnected):
        return "The body was cut off, or its chunks are broken."
    return error.description or HTTPStatus(error.code or 500).phrase


def _flatten(messages: Any) -> dict[str, list[str]] | None:
    """Drop webargs' location level: `{"json": {"name": […]}}` becomes `{"name": […]}`."""
    if not isinstance(messages, dict):
        return None
    fields: dict[str, Any] = {}
    for location, found in messages.items():
        is_location = location in ("json", "query", "headers", "path") and isinstance(found, dict)
        fields |= found if is_location else {location: found}
    return flatten_messages(fields)


def flatten_messages(messages: dict[Any, Any]) -> dict[str, list[str]]:
    """Marshmallow's messages as field → list: `{"error": {"message": […]}}` becomes `{"error.message": […]}`."""
    flat: dict[str, list[str]] = {}
    for field, found in messages.items():
        if isinstance(found, dict):
            for inner, told in flatten_messages(found).items():
                flat[str(field) if inner == SCHEMA else f"{field}.{inner}"] = told  # of the field as a whole
        else:
            flat[str(field)] = [str(each) for each in (found if isinstance(found, list) else [found])]
    return flat


def init_app(app: Flask) -> None:
    app.register_error_handler(DomainError, problem)

    @app.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response:
        response = problem(from_http_exception(error))
        for name, value in error.get_headers():
            if name.lower() == "allow":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def _crash(error: Exception) -> Response:
        return crash(app, error)


def crash(app: Flask, error: Exception) -> Response:
    """Log an error that nobody foresaw, and answer 500."""
    app.logger.error("request.failed", exc_info=error, extra={"path": request.path})
    unknown = DomainError("The server failed to handle this request.", code="INTERNAL_ERROR")
    unknown.status = HTTPStatus.INTERNAL_SERVER_ERROR
    return problem(unknown)
