"""The reference pages that are made from the API documents: REST operations, events and errors (`make docs`)."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from app.auth.permissions import Role
from app.core import errors
from app.core.errors import DomainError
from tests.support import reference_code, reference_redis
from tests.support.project_files import ROOT
from tests.support.reference_code import table

FOLDER = ROOT / "docs" / "reference"
Json = dict[str, Any]
_MANY = 6
_SHARED_STATUSES = {400, 401, 403, 413, 415, 422, 429, 503}
_AGAIN = {500: "later", 503: "later"}
_METHODS = ("get", "post", "put", "patch", "delete")


def pages(openapi: Json, asyncapi: Json) -> dict[Path, str]:
    """The text of each generated page."""
    made = {
        "rest.md": rest_page(openapi),
        "events.md": events_page(asyncapi),
        "errors.md": errors_page(openapi, asyncapi),
        "metrics.md": reference_code.metrics_page(),
        "logs.md": reference_code.logs_page(),
        "redis-keys.md": reference_redis.redis_keys_page(),
    }
    return {FOLDER / name: text for name, text in made.items()}


def _operations(openapi: Json) -> list[tuple[str, Json]]:
    """`METHOD /path` with its operation, in the document's order."""
    return [
        (f"{method.upper()} {path.removeprefix('/api/v1')}", item[method])
        for path, item in openapi["paths"].items()
        for method in _METHODS
        if method in item
    ]


def rest_page(openapi: Json) -> str:
    rows = []
    for name, operation in _operations(openapi):
        is_open = not operation.get("security")
        named = operation.get("x-roles", [])
        roles = (
            "anyone, without a token"
            if is_open
            else ", ".join(named)
            if named and len(named) < len(Role)
            else "all roles"
        )
        rows.append((f"`{name}`", operation["summary"], roles, f"`{operation['operationId']}`"))
    return _REST_INTRODUCTION + table("request | effect | who may | operation", rows)


def events_page(asyncapi: Json) -> str:
    messages, schemas = asyncapi["components"]["messages"], asyncapi["components"]["schemas"]
    room = [messages[key] for key in asyncapi["channels"]["room"]["messages"]]
    parts = [_EVENTS_INTRODUCTION]
    for message in room:
        schema = _resolved(_resolved(message["payload"], schemas)["properties"]["data"], schemas)
        parts += [f"## {message['name']}\n", message["summary"] + "\n", "`data` has:\n", _members(schema, schemas)]
        parts.append(_fenced(message["examples"][0]["payload"]))
    parts.append("## Messages of the connection\n")
    rows = []
    for key in asyncapi["channels"]["connection"]["messages"]:
        message = messages[key]
        schema = _resolved(message["payload"], schemas)
        members = ", ".join(f"`{name}`" for name in schema.get("properties", {}))
        rows.append((f"`{message['name']}`", _direction(asyncapi, key), message["summary"], members))
    parts.append(table("message | direction | meaning | members", rows))
    return "\n".join(parts)


def _direction(asyncapi: Json, key: str) -> str:
    """Who sends the message. The document describes what the server does: it receives what a client sends."""
    for operation in asyncapi["operations"].values():
        if any(each["$ref"].endswith(f"/{key}") for each in operation.get("reply", {}).get("messages", ())):
            return "acknowledgement" if key != "connectError" else "to the client"
        if any(each["$ref"].endswith(f"/{key}") for each in operation["messages"]):
            return "from the client" if operation["action"] == "receive" else "to the client"
    return ""


def _resolved(schema: Json, schemas: Json) -> Json:
    while True:
        if "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        elif len(schema.get("allOf", ())) == 1 and "properties" not in schema:
            schema = schema["allOf"][0]
        else:
            return schema


def _members(schema: Json, schemas: Json) -> str:
    rows = []
    required = schema.get("required", ())
    for name, member in schema.get("properties", {}).items():
        about = member.get("description", "") or _resolved(member, schemas).get("description", "")
        rows.append((f"`{name}`", _kind(member, schemas), "always" if name in required else "where it applies", about))
    return table("member | type | present | meaning", rows)


def _kind(member: Json, schemas: Json) -> str:
    shape = _resolved(member, schemas)
    if choices := shape.get("anyOf") or shape.get("oneOf"):
        return " or ".join(dict.fromkeys(_kind(each, schemas) for each in choices))
    if values := shape.get("enum"):
        return ", ".join(f"`{each}`" for each in values if each is not None) + (" or null" if None in values else "")
    kinds = shape.get("type", "object")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    named = [shape.get("format", kind) if kind == "string" else kind for kind in kinds]
    if "items" in shape:
        return f"list of {_kind(shape['items'], schemas)}"
    return " or ".join(named)


def _fenced(value: Any) -> str:
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```\n"


def error_classes() -> dict[str, type[DomainError]]:
    """The class of each code; of several the one nearest to the base."""
    found: dict[str, type[DomainError]] = {}
    waiting: list[type[DomainError]] = [errors.DomainError]
    while waiting:
        each = waiting.pop(0)
        waiting += each.__subclasses__()
        if each is not errors.DomainError and each.__module__.startswith("app."):
            found.setdefault(each.code, each)
    return found


def errors_page(openapi: Json, asyncapi: Json) -> str:
    used, sockets = _operations_by_code(openapi), _socket_codes(asyncapi)
    rows = []
    for code, each in sorted(error_classes().items(), key=lambda pair: (pair[1].status, pair[0])):
        again = f"after {each.retry_after} s (`Retry-After`)" if each.retry_after else _AGAIN.get(each.status, "no")
        where = used.get(code, [])
        place = ", ".join(f"`{name}`" for name in where)
        if len(where) > _MANY:
            place = "any request" if each.status in _SHARED_STATUSES else "many requests"
        if code in sockets:
            place = f"{place}; Socket.IO" if place else "Socket.IO"
        rows.append((f"`{code}`", str(each.status), each.example, again, place))
    only_sockets = [(f"`{code}`", text) for code, text in sorted(sockets.items()) if code not in error_classes()]
    return (
        _ERRORS_INTRODUCTION
        + table("code | status | example of `detail` | repeat it? | where", rows)
        + _SOCKET_ERRORS
        + table("code | example of `detail`", only_sockets)
    )


def _operations_by_code(openapi: Json) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    shared = openapi["components"]["responses"]
    for name, operation in _operations(openapi):
        for answer in operation["responses"].values():
            described = shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
            for code in described.get("content", {}).get("application/problem+json", {}).get("examples", {}):
                found[code].append(name)
    return found


def _socket_codes(asyncapi: Json) -> dict[str, str]:
    """The codes of refusals over Socket.IO, with an example of their detail."""
    found = {}
    for message in asyncapi["components"]["messages"].values():
        for example in message["examples"]:
            error = example["payload"].get("error", example["payload"])
            if {"code", "detail"} <= error.keys():
                found[error["code"]] = error["detail"]
    return found


_REST_INTRODUCTION = """\
# REST operations

Made from the OpenAPI document by `make docs`: do not edit. Paths are below `/api/v1`, except for those of health,
metrics and documents. `/docs` of a running server describes each operation with its fields, examples and
errors, and `/openapi.json` is the document itself. Both [client packages](../clients.md) have a typed call for each
operation. [Who may do what](../permissions.md), [errors](errors.md).

"""
_EVENTS_INTRODUCTION = """\
# Events

Made from the AsyncAPI document by `make docs`: do not edit. `/docs` and `/asyncapi.json` of a running server have every
detail. Each event is one JSON object, the same over Socket.IO, in [event streams](../clients.md#streams) and, with
`type` in place of `eventType` and without `seq`, in [webhooks](../webhooks.md):

| member | meaning |
|---|---|
| `eventType` | the event's name, which is also the name of the Socket.IO event |
| `timestamp` | ISO 8601, UTC, milliseconds |
| `protocolId` | the protocol |
| `seq` | the event's number in its room, one more than that of the event before |
| `data` | see below |

Every number is a string. [Writing a client](../clients.md#the-algorithm) explains `seq` and `version`,
[Delivery](../delivery.md) when events are sent.
"""
_ERRORS_INTRODUCTION = """\
# Errors

Made from the error classes by `make docs`: do not edit. REST answers with `application/problem+json` (RFC 9457):
`type`, `title`, `status`, `detail`, `code`, `requestId`, and `errors` (field → messages) for 422. Decide by `code`: it
is stable, the text is not. A request that was refused has changed nothing and may be sent again with the same
`Idempotency-Key`.

"""
_SOCKET_ERRORS = """
## Over Socket.IO alone

`connect_error` has the code as `message` and `{code, detail}` as `data`; a refused event is acknowledged with
`{"ok": false, "error": {code, detail}}`.

"""
