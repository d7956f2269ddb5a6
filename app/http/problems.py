"""How a refusal is written (RFC 9457): for Flask's side, and for what is refused before Flask is asked."""

import json
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, request
from flask import json as flask_json
from marshmallow.exceptions import SCHEMA
from redis import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import ClientDisconnected, HTTPException

from app.core.dependency_errors import as_refusal
from app.core.errors import DomainError
from app.http.browser_headers import HEADERS, NO_STORE
from app.observability.requests import REQUEST_ID_HEADER

PROBLEM_TYPE = "application/problem+json"
TYPE_BASE = "urn:dashboard:problem:"
CODES_BY_STATUS = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    413: "BODY_TOO_LARGE",
    414: "URI_TOO_LONG",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "VALIDATION_FAILED",
    426: "UPGRADE_REQUIRED",
    429: "RATE_LIMITED",
    431: "HEADERS_TOO_LARGE",
    500: "INTERNAL_ERROR",
    501: "NOT_IMPLEMENTED",
    503: "DEPENDENCY_UNAVAILABLE",
    505: "HTTP_VERSION_NOT_SUPPORTED",
}


class Refusal(Exception):
    """A request that is refused before Flask is asked; its connection ends, for where the next one begins is unsure."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = HTTPStatus(status), detail


def members(status: int, code: str, detail: str, id_of_request: str) -> dict[str, Any]:
    """The members that every problem has."""
    return {
        "type": TYPE_BASE + code.lower().replace("_", "-"),
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        "requestId": id_of_request,
    }


def answer(status: int, detail: str, id_of_request: str) -> tuple[str, list[tuple[str, str]], bytes]:
    """A whole answer without Flask: status line, headers, body."""
    body = json.dumps(members(status, CODES_BY_STATUS[status], detail, id_of_request)).encode()
    headers = [
        ("Content-Type", PROBLEM_TYPE),
        ("Content-Length", str(len(body))),
        (REQUEST_ID_HEADER, id_of_request),
        NO_STORE,
        *HEADERS.items(),
    ]
    return f"{int(status)} {HTTPStatus(status).phrase}", headers, body


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

    @app.errorhandler(RedisError)
    @app.errorhandler(DBAPIError)
    @app.errorhandler(PoolTimeout)
    def _dependency(error: Exception) -> Response:
        refusal = as_refusal(error)
        if refusal is None:
            return crash(app, error)
        app.logger.info("request.refused", extra={"path": request.path, "code": refusal.code})
        return problem(refusal)

    @app.errorhandler(Exception)
    def _crash(error: Exception) -> Response:
        return crash(app, error)


def crash(app: Flask, error: Exception) -> Response:
    """Log an error that nobody foresaw, and answer 500."""
    app.logger.error("request.failed", exc_info=error, extra={"path": request.path})
    unknown = DomainError("The server failed to handle this request.", code="INTERNAL_ERROR")
    unknown.status = HTTPStatus.INTERNAL_SERVER_ERROR
    return problem(unknown)
