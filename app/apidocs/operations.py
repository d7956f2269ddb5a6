"""One operation of the document, completed by what its view function knows: rights, refusals, examples, headers."""

from collections.abc import Callable, Iterator
from typing import Any

from app.apidocs import examples, problems
from app.apidocs.converter import Json
from app.auth.permissions import ALLOWED, ANYONE, ONLY_FOR_ITSELF, Action, Role
from app.core.schemas import camel_case

BEARER = "bearer"
JSON_TYPE = "application/json"
PAGED = "Ask for the next page with `cursor` = `nextCursor` of this one."
ONCE = "Send an `Idempotency-Key`, and a request that is sent twice has its effect once."
_MISSING = {
    "{protocolId}": "PROTOCOL_NOT_FOUND",
    "{agentId}": "AGENT_NOT_FOUND",
    "{vulnerabilityId}": "VULNERABILITY_NOT_FOUND",
    "{paymentId}": "PAYMENT_NOT_FOUND",
}
_ORDER = ("tags", "summary", "description", "operationId", "x-roles", "security", "parameters", "requestBody")


def complete(path: str, method: str, operation: Json, view: Callable[..., Any], *, schemas: dict[str, Json]) -> Json:
    """The operation as a reader needs it; `path` and `operation` are apispec's."""
    name = camel_case(view.__name__)
    action: Action | None = getattr(view, "required_action", None)
    idempotent = getattr(view, "idempotent", False)
    operation["operationId"] = name
    operation["description"] = _description(operation, action, idempotent=idempotent)
    operation["security"] = [{BEARER: []}] if action else []
    if action:
        operation["x-roles"] = [role.value for role in Role if role in ALLOWED[action]]
    _add_request_examples(operation, name, schemas)
    successes = {status: each for status, each in operation["responses"].items() if status.startswith(("2", "304"))}
    _complete_answers(successes, name, schemas, idempotent=idempotent)
    codes: tuple[str, ...] = getattr(view, "error_codes", ())
    found = dict(_refusals(path, method, operation, codes, action, idempotent=idempotent))
    refusals = {str(status): found[status] for status in sorted(found)}
    ordered = {key: operation[key] for key in _ORDER if key in operation}
    return ordered | {"responses": successes | refusals}


def _description(operation: Json, action: Action | None, *, idempotent: bool) -> str:
    """The view's docstring, then what its parameters and decorators tell."""
    is_paged = any(each["name"] == "cursor" for each in operation.get("parameters", ()))
    sentences = (
        " ".join(operation.get("description", "").split()),
        PAGED if is_paged else "",
        ONCE if idempotent else "",
        _rights(action),
    )
    return " ".join(filter(None, sentences))


def _rights(action: Action | None) -> str:
    if action is None:
        return ""
    allowed = ALLOWED[action]
    who = "anyone with a token" if allowed == ANYONE else ", ".join(role for role in Role if role in allowed)
    itself = " (an agent for itself only)" if action in ONLY_FOR_ITSELF else ""
    return f"Who may: {who}{itself}."


def _refusals(
    path: str, method: str, operation: Json, codes: tuple[str, ...], action: Action | None, *, idempotent: bool
) -> Iterator[tuple[int, Json]]:
    """Which refusals apply: by the rights, by what is sent, and by what the view names."""
    if action:
        yield from ((status, problems.shared(status)) for status in (401, 429, 503))
        if ALLOWED[action] != ANYONE:
            yield 403, problems.shared(403)
    missing = _of_status(404, codes) or tuple(code for name, code in _MISSING.items() if name in path)
    if missing:
        yield 404, problems.response(404, missing)
    if method == "post":
        yield from ((status, problems.shared(status)) for status in (400, 413, 415, 422))
    elif any(each["in"] == "query" for each in operation.get("parameters", ())):
        yield 422, problems.shared(422)
    conflicts = _of_status(409, codes) + (problems.KEY_CODES if idempotent else ())
    if conflicts:
        yield 409, problems.response(409, conflicts)


def _of_status(status: int, codes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(code for code in codes if problems.CATALOGUE[code].status == status)


def _add_request_examples(operation: Json, name: str, schemas: dict[str, Json]) -> None:
    for body in operation.get("requestBody", {}).get("content", {}).values():
        given = examples.REQUESTS.get(name) or {"example": examples.example_of(body["schema"], schemas)}
        body["examples"] = {title: {"summary": title, "value": value} for title, value in given.items()}


def _complete_answers(successes: Json, name: str, schemas: dict[str, Json], *, idempotent: bool) -> None:
    for answer in successes.values():
        answer["headers"] = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
        if idempotent:
            answer["headers"]["Idempotent-Replayed"] = {"$ref": "#/components/headers/Idempotent-Replayed"}
        for body in answer.get("content", {}).values():
            value = examples.example_of(body["schema"], schemas)
            value = value | examples.ANSWERS.get(name, {}) if isinstance(value, dict) else value
            body["examples"] = {"example": {"summary": "example", "value": value}}
