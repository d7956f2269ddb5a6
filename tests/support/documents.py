"""Validates every REST response, event and ack that a test receives against the server's own documents.

Stricter than for clients: an undocumented member is an error here.
"""

import copy
import json
import re
from functools import cache, lru_cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from app.apidocs import asyncapi
from app.apidocs.asyncapi import EVENTS

PROBLEM_TYPE = "application/problem+json"
UNDOCUMENTED_STATUSES = (405, 500)
_REFERENCE = "#/components/schemas/"
_documents: dict[str, Any] = {}


class NotAsDocumentedError(AssertionError):
    """The server sent something that its document does not describe."""


def validate_event(event: dict[str, Any]) -> None:
    """Raise NotAsDocumentedError unless AsyncAPI describes this event of a room."""
    name = event.get("eventType")
    if name not in EVENTS:
        raise NotAsDocumentedError(f"AsyncAPI knows no event {name!r}: {event}")
    validate_message(EVENTS[name].__name__, event)


def validate_message(schema: str, payload: Any) -> None:
    """Raise NotAsDocumentedError unless `payload` is what AsyncAPI calls `schema`, e.g. `JoinedAck`."""
    _check(_asyncapi_validator(schema), payload, f"AsyncAPI's {schema}")


def validate_ack(event: str, ack: Any) -> None:
    """Raise NotAsDocumentedError unless AsyncAPI describes this ack of a client's event."""
    good = {
        "protocol:join": "JoinedAck",
        "protocol:leave": "LeftAck",
        "session:ping": "AliveAck",
        "session:renew": "RenewedAck",
    }.get(event, "RefusedAck")
    validate_message(good if isinstance(ack, dict) and ack.get("ok") is True else "RefusedAck", ack)


def use(document: dict[str, Any]) -> None:
    """Set the OpenAPI document, which is fetched from the server under test once."""
    _documents["openapi"] = document
    _openapi_validator.cache_clear()
    _paths.cache_clear()


def is_known() -> bool:
    return "openapi" in _documents


def validate_response(method: str, path: str, status: int, content_type: str, body: bytes) -> None:
    """Raise NotAsDocumentedError unless OpenAPI describes this response. `path` may have a query.

    Undocumented paths and methods must respond with a documented problem.
    """
    operation = find_operation(method, path)
    if operation is None or status in UNDOCUMENTED_STATUSES:
        if status >= 400 and path.startswith("/api/"):
            _check_problem(status, content_type, body)
        return
    responses = operation["responses"]
    if str(status) not in responses:
        error = f"{method} {path} answered {status}, which is not documented: {body[:500]!r}"
        raise NotAsDocumentedError(error)
    described = resolved(responses[str(status)], _documents["openapi"]).get("content", {})
    media_type = content_type.partition(";")[0]
    if described and media_type not in described:
        raise NotAsDocumentedError(f"{method} {path} answered {status} as {media_type}, not as {[*described]}")
    if media_type.endswith("json") and described:
        reference = described[media_type]["schema"].get("$ref", "")
        if reference:
            validator = _openapi_validator(reference.removeprefix(_REFERENCE))
            _check(validator, json.loads(body), f"{method} {path} → {status}")


def find_operation(method: str, path: str) -> dict[str, Any] | None:
    """The operation that OpenAPI describes for this call."""
    plain = path.partition("?")[0]
    for pattern, item in _paths():
        if pattern.fullmatch(plain):
            return item.get(method.lower())
    return None


def resolved(response: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """The response object, with a reference to a shared one resolved."""
    name = response.get("$ref", "").removeprefix("#/components/responses/")
    return document["components"]["responses"][name] if name else response


def _check_problem(status: int, content_type: str, body: bytes) -> None:
    if not content_type.startswith(PROBLEM_TYPE):
        raise NotAsDocumentedError(f"a {status} as {content_type}: {body[:500]!r}")
    _check(_openapi_validator("Problem"), json.loads(body), f"the problem of a {status}")


def _check(validator: Any, value: Any, place: str) -> None:
    faults = [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(value)]
    if faults:
        raise NotAsDocumentedError(f"{place}: " + "; ".join(faults[:10]) + f"\n{str(value)[:2000]}")


@lru_cache(maxsize=1)
def _paths() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """The paths as patterns, fixed ones before those with parameters."""
    paths = sorted(_documents["openapi"]["paths"].items(), key=lambda each: each[0].count("{"))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), item) for path, item in paths]


@cache
def _openapi_validator(name: str) -> Any:
    return _validator(_documents["openapi"]["components"]["schemas"], name)


@cache
def _asyncapi_validator(name: str) -> Any:
    return _validator(asyncapi.document()["components"]["schemas"], name)


def _validator(schemas: dict[str, Any], name: str) -> Any:
    strict = copy.deepcopy(schemas)
    for shape in strict.values():
        if "properties" in shape:
            shape["additionalProperties"] = False
    whole = {"$ref": _REFERENCE + name, "components": {"schemas": strict}}
    return Draft202012Validator(whole, format_checker=FormatChecker())


def openapi_offline() -> dict[str, Any]:
    """The OpenAPI document of an app that opens no connection."""
    from app.apidocs import openapi
    from app.config import load_config
    from app.factory import create_app

    nowhere = {"DATABASE_URL": "sqlite:////nowhere/x.db", "REDIS_URL": "redis://127.0.0.1:1/0"}
    app = create_app(
        load_config({"DASHBOARD_HOME": "/nowhere", "DASHBOARD_SIGNING_KEY": "0123456789abcdef" * 2} | nowhere)
    )
    return openapi.document(app)
