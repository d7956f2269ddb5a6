"""The error responses of the OpenAPI document (RFC 9457), derived from the error classes."""

from http import HTTPStatus

from app.apidocs.converter import Json
from app.core import dependency_errors, errors
from app.core.errors import DependencyUnavailable, DomainError
from app.http.problems import PROBLEM_TYPE, members

RETRYABLE = (429, 503)
SHARED = (400, 401, 403, 413, 415, 422, 429, 503)
"""Statuses whose response is the same for every operation: it lists all codes of the status."""

_DESCRIPTIONS: dict[int, str] = {
    400: "The body is not valid JSON.",
    401: "The token is missing or no longer valid.",
    403: "The role of the token does not permit this, or an agent acts for another agent.",
    404: "The object does not exist, or the token does not name its protocol.",
    409: "The request conflicts with the current state; nothing was changed.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not declared as JSON.",
    422: "Fields are missing or invalid; `errors` names them.",
    429: "Too many requests; retry after `Retry-After` seconds.",
    503: "The database, Redis or the key provider is unavailable or read-only; retry after `Retry-After` seconds.",
}


def _documented_errors() -> dict[str, type[DomainError]]:
    """The classes of the codes that REST documents, by code."""
    classes = [
        each
        for module in (errors, dependency_errors)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, DomainError) and each.example
    ]
    return {each.code: each for each in reversed(classes)}  # the first class of a code wins


CATALOGUE = dict(sorted(_documented_errors().items()))


def codes_of(status: int) -> tuple[str, ...]:
    """The codes of a shared response; DEPENDENCY_UNAVAILABLE is always reported as one of its subclasses."""
    return tuple(
        code for code, each in CATALOGUE.items() if each.status == status and each is not DependencyUnavailable
    )


def example(code: str) -> Json:
    """A complete problem object with this code."""
    error = CATALOGUE[code]
    return members(error.status, code, error.example, "0d3f0c7e9a4b4d0f") | dict(error.example_members)


def shared_responses() -> Json:
    """The shared responses, for the `components` of the document."""
    return {_name(status): response(status, codes_of(status)) for status in SHARED}


def reference(status: int) -> Json:
    """A reference to a shared response."""
    return {"$ref": f"#/components/responses/{_name(status)}"}


def _name(status: int) -> str:
    return HTTPStatus(status).name.title().replace("_", "")


def response(status: int, codes: tuple[str, ...]) -> Json:
    """The response object of a status, with an example of each code."""
    headers: Json = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    if status in RETRYABLE:
        headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
    examples = {code: {"summary": code, "value": example(code)} for code in codes}
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}}
    return {"description": _DESCRIPTIONS[status], "headers": headers, "content": content}
