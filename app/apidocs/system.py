"""The paths outside `/api/v1`, which have no schemas of their own: health, metrics and these documents."""

from app.apidocs import problems
from app.apidocs.converter import Json
from app.http.problems import PROBLEM_TYPE

TAG: Json = {"name": "system", "description": "Health, metrics and documents"}
_NO_STORE = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
_PARTS = ("database", "redis", "messageQueue")


def _answer(description: str, media_type: str, schema: Json, example: object) -> Json:
    examples = {"example": {"summary": "example", "value": example}}
    return {
        "description": description,
        "headers": _NO_STORE,
        "content": {media_type: {"schema": schema, "examples": examples}},
    }


def _get(operation_id: str, summary: str, description: str, responses: Json) -> Json:
    operation = {"tags": [TAG["name"]], "summary": summary, "description": description}
    return {"get": operation | {"operationId": operation_id, "security": [], "responses": responses}}


def _parts(**others: str) -> Json:
    return dict.fromkeys(_PARTS, "ok") | others


_ok = {"type": "string", "enum": ["ok"], "description": "Always `ok`."}
_part = {"type": "string", "enum": ["ok", "down"]}
SCHEMAS: dict[str, Json] = {
    "Health": {
        "type": "object",
        "required": ["status", "version"],
        "properties": {"status": _ok, "version": {"type": "string", "description": "The running release."}},
    },
    "Readiness": {
        "type": "object",
        "required": ["status", "parts"],
        "properties": {
            "status": _ok,
            "parts": {
                "type": "object",
                "description": "Each dependency by name.",
                "required": list(_PARTS),
                "properties": dict.fromkeys(_PARTS, _part),
                "additionalProperties": _part,
            },
            "silent": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Processes that gave no sign of life for 15 s, such as `worker-payments`; else absent.",
            },
        },
    },
}
_JSON = "application/json"
_health: Json = {"$ref": "#/components/schemas/Health"}
_readiness: Json = {"$ref": "#/components/schemas/Readiness"}
_problem: Json = {"$ref": "#/components/schemas/Problem"}
_unready_example = problems.example("DEPENDENCY_UNAVAILABLE") | {"parts": _parts(redis="down")}
_unready = _answer("A part does not answer; it is named.", PROBLEM_TYPE, _problem, _unready_example)
_unready["headers"] = _NO_STORE | {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
_any_object: Json = {"type": "object"}
_unchanged: Json = {"description": "Unchanged since the document with the `ETag` in `If-None-Match`."}

PATHS: Json = {
    "/healthz": _get(
        "healthz",
        "Is the process up",
        "Answers as long as the process serves requests, whatever else is down.",
        {"200": _answer("It is.", _JSON, _health, {"status": "ok", "version": "0.2.0"})},
    ),
    "/readyz": _get(
        "readyz",
        "Do its dependencies answer",
        "Database, Redis and message queue; for load balancers.",
        {"200": _answer("They do.", _JSON, _readiness, {"status": "ok", "parts": _parts()}), "503": _unready},
    ),
    "/metrics": _get(
        "prometheus",
        "Metrics",
        "In Prometheus' text format.",
        {"200": _answer("The metrics.", "text/plain", {"type": "string"}, "dashboard_sockets 12.0\n")},
    ),
    "/openapi.json": _get(
        "openapi",
        "This document",
        "OpenAPI 3.1, made from the schemas that the server itself validates with.",
        {"200": _answer("The document.", _JSON, _any_object, {"openapi": "3.1.0"}), "304": _unchanged},
    ),
    "/asyncapi.json": _get(
        "asyncapi",
        "The Socket.IO side",
        "AsyncAPI 3.0: events, joins, acks and refusals.",
        {"200": _answer("The document.", _JSON, _any_object, {"asyncapi": "3.0.0"}), "304": _unchanged},
    ),
}
