"""Completes one operation with what its view declares: roles, examples, headers and error responses (RFC 9457)."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from apispec.ext.marshmallow import resolver
from marshmallow import Schema

from app.apidocs.json_schemas import Json, example_of
from app.auth.permissions import ALLOWED, ANYONE, ONLY_FOR_ITSELF, Action, Role
from app.core import dependency_errors, errors
from app.core.errors import DependencyUnavailable, DomainError, IdempotencyKeyInUse, IdempotencyKeyReused
from app.core.schemas import camel_case
from app.core.values import AGENT, PAYMENT, PROTOCOL, VULNERABILITY
from app.http.problems import PROBLEM_TYPE, members
from app.webhooks.schemas import DELIVERY, WEBHOOK

_PAGED = "Request the next page with `cursor` set to `nextCursor` of this one."
_IDEMPOTENT = "With an `Idempotency-Key`, a request that is sent twice has its effect once."
PATH_PARAMETERS: dict[str, tuple[str, type[DomainError]]] = {
    "protocolId": (PROTOCOL, errors.ProtocolNotFound),
    "agentId": (AGENT, errors.AgentNotFound),
    "vulnerabilityId": (VULNERABILITY, errors.VulnerabilityNotFound),
    "paymentId": (PAYMENT, errors.PaymentNotFound),
    "webhookId": (WEBHOOK, errors.WebhookNotFound),
    "deliveryId": (DELIVERY, errors.WebhookDeliveryNotFound),
}
"""An example of each id in a path, and the error if there is no such object."""
_SHARED = (400, 401, 403, 413, 415, 422, 429, 503)
"""Statuses whose response is the same for every operation: it lists all codes of the status."""
_DESCRIPTIONS: dict[int, str] = {
    400: "The body is not valid JSON.",
    401: "The token is missing or no longer valid.",
    403: "The role of the token does not permit this, or an agent acts for another agent.",
    404: "The object does not exist, or the token does not name its protocol.",
    406: "The caller does not accept this representation.",
    409: "The request conflicts with the current state; nothing was changed.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not declared as JSON.",
    422: "Fields are missing or invalid; `errors` names them.",
    429: "Too many requests; retry after `Retry-After` seconds.",
    501: "This server cannot do it.",
    503: "The database, Redis or the key provider is unavailable or read-only; retry after `Retry-After` seconds.",
}


def _documented_errors() -> dict[str, type[DomainError]]:
    """The classes of the codes that REST documents, by code; the first class of a code wins."""
    found: dict[str, type[DomainError]] = {}
    for each in (*vars(errors).values(), *vars(dependency_errors).values()):
        if isinstance(each, type) and issubclass(each, DomainError) and each.example:
            found.setdefault(each.code, each)
    return dict(sorted(found.items()))


CATALOGUE = _documented_errors()


def complete(path: str, method: str, operation: Json, view: Any, *, schemas: Json, examples: Json) -> None:
    """Complete apispec's operation of a view; `schemas` are the document's components."""
    name = operation["operationId"] = camel_case(view.__name__)
    action: Action | None = getattr(view, "required_action", None)
    idempotent: bool = getattr(view, "idempotent", False)
    operation["description"] = _description(operation, action, idempotent=idempotent)
    operation["security"] = [{scheme: []} for scheme in getattr(view, "security_schemes", ())]
    if action:
        operation["x-roles"] = [role.value for role in Role if role in ALLOWED[action]]
    for body in operation.get("requestBody", {}).get("content", {}).values():
        given = examples["requests"].get(name) or {"example": example_of(body["schema"], schemas)}
        body["examples"] = {title: {"summary": title, "value": value} for title, value in given.items()}
    responses = {status: each for status, each in operation["responses"].items() if status.startswith(("2", "304"))}
    for answer in responses.values():
        answer["headers"] = _headers("X-Request-Id", *(["Idempotent-Replayed"] if idempotent else []))
        for body in answer.get("content", {}).values():
            value = example_of(body["schema"], schemas) | examples["responses"].get(name, {})
            body["examples"] = {"example": {"summary": "example", "value": value}}
    if csv_schema := getattr(view, "csv_schema", None):
        responses["200"]["content"]["text/csv"] = _csv_media(csv_schema, schemas)
    for content_type, text in examples["texts"].get(name, {}).items():
        example = {"example": {"summary": "example", "value": "\n".join(text)}}
        responses["200"]["content"] = {content_type: {"schema": {"type": "string"}, "examples": example}}
    for status, failure in sorted(_failures(path, method, operation, view).items()):
        responses[str(status)] = failure
    operation["responses"] = responses


def _csv_media(item_schema: type[Schema], schemas: Json) -> Json:
    """The list as CSV: a header row of the members' names, then a row for each item."""
    item = example_of(schemas[resolver(item_schema)], schemas)
    rows = [list(item), ["" if value is None else str(value) for value in item.values()]]
    value = "".join(",".join(f'"{cell}"' if "," in cell else cell for cell in row) + "\r\n" for row in rows)
    return {"schema": {"type": "string"}, "examples": {"example": {"summary": "example", "value": value}}}


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _description(operation: Json, action: Action | None, *, idempotent: bool) -> str:
    """The view's docstring, completed with what its parameters and decorators imply."""
    sentences = operation.get("description", "").split()
    if any(each["name"] == "cursor" for each in operation.get("parameters", ())):
        sentences.append(_PAGED)
    if idempotent:
        sentences.append(_IDEMPOTENT)
    if action:
        allowed = ALLOWED[action]
        roles = "all" if allowed == ANYONE else ", ".join(role for role in Role if role in allowed)
        itself = " (an agent only for itself)" if action in ONLY_FOR_ITSELF else ""
        sentences.append(f"Roles: {roles}{itself}.")
    return " ".join(sentences)


def _failures(path: str, method: str, operation: Json, view: Any) -> dict[int, Json]:
    """The error responses by status that follow from the view's action, its input and the errors that it names."""
    action: Action | None = getattr(view, "required_action", None)
    codes: tuple[str, ...] = getattr(view, "error_codes", ())
    shared: list[int] = []
    if action:
        shared += [401, 429, 503] if ALLOWED[action] == ANYONE else [401, 403, 429, 503]
    if method == "post":
        shared += [400, 413, 415, 422]
    elif any(each["in"] == "query" for each in operation.get("parameters", ())):
        shared.append(422)
    reference = "#/components/responses/"
    failures: dict[int, Json] = {status: {"$ref": reference + _response_name(status)} for status in shared}
    unknown = [error.code for name, (_, error) in PATH_PARAMETERS.items() if name in path]
    if missing := _of_status(404, codes) or unknown:
        failures[404] = _response(404, missing)
    for status in (406, 501):
        if named := _of_status(status, codes):
            failures[status] = _response(status, named)
    conflicts = _of_status(409, codes)
    if getattr(view, "idempotent", False):
        conflicts += [IdempotencyKeyReused.code, IdempotencyKeyInUse.code]
    if conflicts:
        failures[409] = _response(409, conflicts)
    return failures


def _of_status(status: int, codes: Iterable[str]) -> list[str]:
    return [code for code in codes if CATALOGUE[code].status == status]


def shared_responses() -> Json:
    """The responses of the document's `components`; DEPENDENCY_UNAVAILABLE is always reported as a subclass."""
    codes = CATALOGUE.keys() - {DependencyUnavailable.code}
    return {_response_name(status): _response(status, sorted(_of_status(status, codes))) for status in _SHARED}


def _response_name(status: int) -> str:
    return HTTPStatus(status).name.title().replace("_", "")


def _response(status: int, codes: list[str]) -> Json:
    """The response object of a status, with an example of each code."""
    examples = {}
    for code in codes:
        error = CATALOGUE[code]
        problem = members(error.status, code, error.example, "0d3f0c7e9a4b4d0f") | dict(error.example_members)
        examples[code] = {"summary": code, "value": problem}
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}}
    headers = _headers("X-Request-Id", *(["Retry-After"] if status in (429, 503) else []))
    return {"description": _DESCRIPTIONS[status], "headers": headers, "content": content}
