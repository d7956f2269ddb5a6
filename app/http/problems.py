"""How a refusal is written (RFC 9457): for Flask's side, and for what is refused before Flask is asked."""

import json
import re
from http import HTTPStatus
from typing import Any

import uuid_utils.compat as uuid

from app.http.browser_headers import HEADERS, NO_STORE

PROBLEM_TYPE = "application/problem+json"
TYPE_BASE = "urn:dashboard:problem:"
REQUEST_ID_HEADER = "X-Request-Id"
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
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class Refusal(Exception):
    """A request that is refused before Flask is asked; its connection ends, for where the next one begins is unsure."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = HTTPStatus(status), detail


def request_id(given: str) -> str:
    """The caller's own id of a request, or a new one."""
    return given if _ACCEPTABLE_ID.fullmatch(given) else uuid.uuid7().hex


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
