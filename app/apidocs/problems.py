"""Every refusal a client can meet (RFC 9457): its code, its words, and which operations answer with it."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from app.apidocs.converter import Json
from app.http.problems import PROBLEM_TYPE, TYPE_BASE


@dataclass(frozen=True)
class Refusal:
    """One code, with the detail that its example shows."""

    status: int
    detail: str
    extra: tuple[tuple[str, Any], ...] = ()


CATALOGUE: dict[str, Refusal] = {
    "BAD_REQUEST": Refusal(400, "The body is not valid JSON."),
    "UNAUTHORIZED": Refusal(401, "Send `Authorization: Bearer <token>`."),
    "TOKEN_EXPIRED": Refusal(401, "The token has expired."),
    "TOKEN_REVOKED": Refusal(401, "The token was revoked."),
    "FORBIDDEN": Refusal(403, "The role viewer may not: deposit."),
    "NOT_FOUND": Refusal(404, "There is nothing at /api/v1/nothing."),
    "PROTOCOL_NOT_FOUND": Refusal(404, "There is no protocol 'aave-v4'."),
    "AGENT_NOT_FOUND": Refusal(404, "There is no agent 'scanner-9'."),
    "VULNERABILITY_NOT_FOUND": Refusal(404, "There is no vulnerability '019a8f00'."),
    "PAYMENT_NOT_FOUND": Refusal(404, "There is no payment '019a8f04'."),
    "METHOD_NOT_ALLOWED": Refusal(405, "The method is not allowed for the requested URL."),
    "CONFLICT": Refusal(409, "The request does not fit the present state."),
    "ALREADY_EXISTS": Refusal(409, "There is a protocol 'aave-v3' already."),
    "ALREADY_RESERVED": Refusal(409, "A bounty is reserved for this vulnerability already: confirm without one."),
    "AMOUNT_TOO_LARGE": Refusal(409, "With 25000.00 more the pool would hold more than 999999999999.999999."),
    "IDEMPOTENCY_KEY_IN_USE": Refusal(409, "A request with the Idempotency-Key 'deposit-17' is still running."),
    "IDEMPOTENCY_KEY_REUSED": Refusal(409, "The Idempotency-Key 'deposit-17' was used for another request."),
    "INSUFFICIENT_FUNDS": Refusal(409, "2500.00 cannot be reserved: 1000.00 USDC available."),
    "INVALID_TRANSITION": Refusal(
        409, "The vulnerability is REJECTED; only PENDING ones become CONFIRMED.", (("currentStatus", "REJECTED"),)
    ),
    "QUEUE_FULL": Refusal(409, "The agent has 1000 tasks waiting."),
    "BODY_TOO_LARGE": Refusal(413, "The data value transmitted exceeds the capacity limit."),
    "UNSUPPORTED_MEDIA_TYPE": Refusal(415, "Send JSON: `Content-Type: application/json`."),
    "VALIDATION_FAILED": Refusal(
        422, "The request has invalid fields.", (("errors", {"amount": ["An amount must be more than zero."]}),)
    ),
    "RATE_LIMITED": Refusal(429, "More than 1000 requests a second with this token."),
    "TOO_MANY_OPEN_ANSWERS": Refusal(
        429, "Too much of earlier answers is still unread: read them, or close their connections."
    ),
    "INTERNAL_ERROR": Refusal(500, "The server failed to handle this request."),
    "DEPENDENCY_UNAVAILABLE": Refusal(503, "A dependency did not answer."),
    "DATABASE_BUSY": Refusal(503, "The database is busy with other writes."),
    "DATABASE_FULL": Refusal(503, "The database's disk is full."),
    "DATABASE_READ_ONLY": Refusal(503, "The database takes no writes."),
    "DATABASE_UNAVAILABLE": Refusal(503, "The database did not answer."),
    "KEYS_UNAVAILABLE": Refusal(503, "The identity provider's keys cannot be fetched."),
    "REDIS_FULL": Refusal(503, "Redis is full and takes no writes."),
    "REDIS_READ_ONLY": Refusal(503, "Redis is a replica and takes no writes."),
    "REDIS_UNAVAILABLE": Refusal(503, "Redis did not answer."),
    "SCHEMA_OUTDATED": Refusal(503, "The database's schema is older than this release."),
}

MEANINGS: dict[int, str] = {
    400: "The body is not JSON.",
    401: "There is no token, or it is not valid any more.",
    403: "The token's role lacks this right, or an agent speaks for another one.",
    404: "There is no such thing, or the token does not name its protocol.",
    409: "It does not fit the present state; nothing was changed.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not sent as JSON.",
    422: "Fields are missing or invalid; `errors` says which.",
    429: "Too many requests; come back after `Retry-After` seconds.",
    503: "The database, Redis or the key provider is down or takes no writes; try again after `Retry-After` seconds.",
}
RETRYABLE = (429, 503)
KEY_CODES = ("IDEMPOTENCY_KEY_REUSED", "IDEMPOTENCY_KEY_IN_USE")
SHARED: dict[int, tuple[str, ...]] = {
    400: ("BAD_REQUEST",),
    401: ("UNAUTHORIZED", "TOKEN_EXPIRED", "TOKEN_REVOKED"),
    403: ("FORBIDDEN",),
    413: ("BODY_TOO_LARGE",),
    415: ("UNSUPPORTED_MEDIA_TYPE",),
    422: ("VALIDATION_FAILED",),
    429: ("RATE_LIMITED", "TOO_MANY_OPEN_ANSWERS"),
    503: (
        "DATABASE_UNAVAILABLE",
        "REDIS_UNAVAILABLE",
        "DATABASE_BUSY",
        "DATABASE_FULL",
        "DATABASE_READ_ONLY",
        "REDIS_FULL",
        "REDIS_READ_ONLY",
        "SCHEMA_OUTDATED",
        "KEYS_UNAVAILABLE",
    ),
}
"""Refusals that are the same wherever they apply: status → codes."""

SCHEMA: Json = {
    "type": "object",
    "description": "A refusal, as RFC 9457 has it.",
    "required": ["type", "title", "status", "detail", "code", "requestId"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": f"`{TYPE_BASE}` and the code in lower case."},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599, "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What was wrong, in words."},
        "code": {"type": "string", "enum": sorted(CATALOGUE), "description": "Stable: decide by this one."},
        "requestId": {"type": "string", "description": "The same as in `X-Request-Id`."},
        "errors": {
            "type": "object",
            "description": "Field → messages, with 422; `error.message` is a field within a field.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        "parts": {
            "type": "object",
            "description": "Each part, `ok` or `down`, when `/readyz` is not ready.",
            "additionalProperties": {"type": "string", "enum": ["ok", "down"]},
        },
        "currentStatus": {"type": "string", "description": "The present status, with INVALID_TRANSITION."},
    },
}


def example(code: str) -> Json:
    """A whole problem object with this code."""
    refusal = CATALOGUE[code]
    return {
        "type": TYPE_BASE + code.lower().replace("_", "-"),
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": refusal.detail,
        "code": code,
        "requestId": "0d3f0c7e9a4b4d0f",
        **dict(refusal.extra),
    }


def responses() -> Json:
    """The shared refusals, for the document's `components`."""
    return {_name(status): response(status, codes) for status, codes in SHARED.items()}


def shared(status: int) -> Json:
    """A reference to the refusal that is the same everywhere."""
    return {"$ref": f"#/components/responses/{_name(status)}"}


def _name(status: int) -> str:
    return HTTPStatus(status).name.title().replace("_", "")


def response(status: int, codes: tuple[str, ...]) -> Json:
    """The response object of one status, with an example of each code."""
    headers: Json = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    if status in RETRYABLE:
        headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
    examples = {code: {"summary": code, "value": example(code)} for code in codes}
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}}
    return {"description": MEANINGS[status], "headers": headers, "content": content}
