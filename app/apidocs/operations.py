"""Completes one operation with what its view declares: roles, errors, examples and headers."""

from collections.abc import Callable, Iterator
from typing import Any

from app.apidocs import problems
from app.apidocs.converter import Json
from app.apidocs.examples import example_of
from app.auth.permissions import ALLOWED, ANYONE, ONLY_FOR_ITSELF, Action, Role
from app.core.errors import (
    AgentNotFound,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    PaymentNotFound,
    ProtocolNotFound,
    VulnerabilityNotFound,
)
from app.core.schemas import camel_case

_PAGED = "Request the next page with `cursor` set to `nextCursor` of this one."
_IDEMPOTENT = "With an `Idempotency-Key`, a request that is sent twice has its effect once."
_NOT_FOUND = {
    "{protocolId}": ProtocolNotFound,
    "{agentId}": AgentNotFound,
    "{vulnerabilityId}": VulnerabilityNotFound,
    "{paymentId}": PaymentNotFound,
}
_ORDER = ("tags", "summary", "description", "operationId", "x-roles", "security", "parameters", "requestBody")


class OperationCompleter:
    """Completes the operations of one document; `schemas` are its component schemas."""

    def __init__(self, schemas: dict[str, Json], examples: Json) -> None:
        self._schemas = schemas
        self._requests, self._responses = examples["requests"], examples["responses"]

    def complete(self, path: str, method: str, operation: Json, view: Callable[..., Any]) -> Json:
        """The complete operation; `operation` is apispec's."""
        name = camel_case(view.__name__)
        action: Action | None = getattr(view, "required_action", None)
        idempotent: bool = getattr(view, "idempotent", False)
        operation["operationId"] = name
        operation["description"] = _description(operation, action, idempotent=idempotent)
        operation["security"] = [{"bearer": []}] if action else []
        if action:
            operation["x-roles"] = [role.value for role in Role if role in ALLOWED[action]]
        self._add_request_examples(operation, name)
        successes = {status: each for status, each in operation["responses"].items() if status.startswith(("2", "304"))}
        self._complete_successes(successes, name, idempotent=idempotent)
        failures = dict(_failures(path, method, operation, view))
        ordered = {key: operation[key] for key in _ORDER if key in operation}
        return ordered | {"responses": successes | {str(status): failures[status] for status in sorted(failures)}}

    def _add_request_examples(self, operation: Json, name: str) -> None:
        for body in operation.get("requestBody", {}).get("content", {}).values():
            given = self._requests.get(name) or {"example": example_of(body["schema"], self._schemas)}
            body["examples"] = {title: {"summary": title, "value": value} for title, value in given.items()}

    def _complete_successes(self, successes: Json, name: str, *, idempotent: bool) -> None:
        for answer in successes.values():
            answer["headers"] = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
            if idempotent:
                answer["headers"]["Idempotent-Replayed"] = {"$ref": "#/components/headers/Idempotent-Replayed"}
            for body in answer.get("content", {}).values():
                value = example_of(body["schema"], self._schemas)
                value = value | self._responses.get(name, {}) if isinstance(value, dict) else value
                body["examples"] = {"example": {"summary": "example", "value": value}}


def _description(operation: Json, action: Action | None, *, idempotent: bool) -> str:
    """The view's docstring, completed with what its parameters and decorators imply."""
    is_paged = any(each["name"] == "cursor" for each in operation.get("parameters", ()))
    sentences = (
        " ".join(operation.get("description", "").split()),
        _PAGED if is_paged else "",
        _IDEMPOTENT if idempotent else "",
        _roles(action),
    )
    return " ".join(filter(None, sentences))


def _roles(action: Action | None) -> str:
    if action is None:
        return ""
    allowed = ALLOWED[action]
    roles = "all" if allowed == ANYONE else ", ".join(role for role in Role if role in allowed)
    itself = " (an agent only for itself)" if action in ONLY_FOR_ITSELF else ""
    return f"Roles: {roles}{itself}."


def _failures(path: str, method: str, operation: Json, view: Callable[..., Any]) -> Iterator[tuple[int, Json]]:
    """The error responses that follow from the view's action, its input and the errors that it names."""
    action: Action | None = getattr(view, "required_action", None)
    codes: tuple[str, ...] = getattr(view, "error_codes", ())
    if action:
        yield from ((status, problems.reference(status)) for status in (401, 429, 503))
        if ALLOWED[action] != ANYONE:
            yield 403, problems.reference(403)
    missing = _of_status(404, codes) or tuple(error.code for name, error in _NOT_FOUND.items() if name in path)
    if missing:
        yield 404, problems.response(404, missing)
    if method == "post":
        yield from ((status, problems.reference(status)) for status in (400, 413, 415, 422))
    elif any(each["in"] == "query" for each in operation.get("parameters", ())):
        yield 422, problems.reference(422)
    conflicts = _of_status(409, codes)
    if getattr(view, "idempotent", False):
        conflicts += (IdempotencyKeyReused.code, IdempotencyKeyInUse.code)
    if conflicts:
        yield 409, problems.response(409, conflicts)


def _of_status(status: int, codes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(code for code in codes if problems.CATALOGUE[code].status == status)
