"""Errors as problem+json (RFC 9457), for Flask and for requests that are rejected before Flask sees them."""

import json
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, request
from flask import json as flask_json
from marshmallow.exceptions import SCHEMA
from werkzeug.exceptions import ClientDisconnected, HTTPException

from app.core.dependency_errors import as_outage
from app.core.errors import HTTP_ERRORS, DomainError, InternalError
from app.http.responses import HEADERS, NO_STORE
from app.observability.requests import REQUEST_ID_HEADER

PROBLEM_TYPE = "application/problem+json"


class RejectedRequest(Exception):
    """A request rejected before Flask sees it. Its connection is closed: where the next one starts is unknown."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = HTTPStatus(status), detail


def members(status: int, code: str, detail: str, request_id: str) -> dict[str, Any]:
    return {
        "type": "urn:dashboard:problem:" + code.lower().replace("_", "-"),
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        "requestId": request_id,
    }


def raw_response(status: int, detail: str, request_id: str) -> tuple[str, list[tuple[str, str]], bytes]:
    """A complete response without Flask: status line, headers, body."""
    body = json.dumps(members(status, HTTP_ERRORS[status].code, detail, request_id)).encode()
    headers = [
        ("Content-Type", PROBLEM_TYPE),
        ("Content-Length", str(len(body))),
        (REQUEST_ID_HEADER, request_id),
        NO_STORE,
        *HEADERS.items(),
    ]
    return f"{int(status)} {HTTPStatus(status).phrase}", headers, body


def problem(error: DomainError) -> Response:
    body = members(error.status, error.code, error.detail, g.get("request_id", "")) | error.extra
    if error.fields is not None:
        body["errors"] = error.fields
    response = Response(flask_json.dumps(body), status=int(error.status), content_type=PROBLEM_TYPE)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def init_app(app: Flask) -> None:
    app.register_error_handler(DomainError, problem)

    @app.errorhandler(HTTPException)
    def answer_http_error(error: HTTPException) -> Response:
        """Translate an error of Flask, Werkzeug or webargs into the application's own."""
        status = HTTPStatus(error.code or 500)
        messages = (getattr(error, "data", None) or {}).get("messages")
        translated = HTTP_ERRORS.get(status, DomainError)(_detail(error, messages))
        translated.status = status
        if status == HTTPStatus.UNPROCESSABLE_ENTITY and isinstance(messages, dict):
            fields: dict[Any, Any] = {}
            for location, found in messages.items():  # webargs groups messages by location, such as `json` and `query`
                fields |= found if isinstance(found, dict) else {location: found}
            translated.fields = flatten_messages(fields)
        response = problem(translated)
        response.headers.extend((name, value) for name, value in error.get_headers() if name.lower() == "allow")
        return response

    @app.errorhandler(Exception)
    def answer_unexpected_error(error: Exception) -> Response:
        """An outage of a dependency as 503; any other error is logged with its traceback and answered 500."""
        outage = as_outage(error)
        if outage is None:
            app.logger.error("request.failed", exc_info=error, extra={"path": request.path})
            return problem(InternalError())
        app.logger.info("request.refused", extra={"path": request.path, "code": outage.code})
        return problem(outage)


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


def flatten_messages(messages: dict[Any, Any]) -> dict[str, list[str]]:
    """Marshmallow's messages as field → list: `{"error": {"message": […]}}` becomes `{"error.message": […]}`."""
    flat: dict[str, list[str]] = {}
    for field, found in messages.items():
        if isinstance(found, dict):
            for inner, texts in flatten_messages(found).items():
                flat[str(field) if inner == SCHEMA else f"{field}.{inner}"] = texts
        else:
            flat[str(field)] = [str(each) for each in (found if isinstance(found, list) else [found])]
    return flat
