"""One description of a request for both clients: how it is made, what its response means, when it is sent again."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from dashboard_realtime.errors import ApiError, DashboardError, Unreachable
from dashboard_realtime.retrying import Backoff, error_of, is_transient, pause_before_retry

Result = TypeVar("Result")
Amount = str | Decimal
"""An exact amount; a float is refused."""
Moment = str | datetime
"""A time: ISO 8601, or a datetime; one without a time zone is local."""

TIMEOUT_SECONDS = 10.0
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True)
class Operation(Generic[Result]):
    """An operation of the API; a POST with `is_idempotent` gets an Idempotency-Key of its own."""

    method: str
    path: str
    is_idempotent: bool = False
    is_text: bool = False


@dataclass(frozen=True)
class Request:
    """What is sent, without the token; the same for each attempt."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Mapping[str, Any] | None
    headers: Mapping[str, str] = field(repr=False)
    may_repeat: bool = False

    def headers_with(self, token: str | None) -> dict[str, str]:
        return {**self.headers} | ({"Authorization": f"Bearer {token}"} if token else {})


def prepare(
    operation: Operation[Any],
    *,
    path: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    query: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    accept: str = "application/json",
) -> Request:
    """Raises TypeError for a float amount. Members and parameters that are None are omitted."""
    filled = operation.path
    for name, value in (path or {}).items():
        filled = filled.replace(f"{{{name}}}", quote(value, safe=""))
    headers = {} if operation.is_text else {"Accept": accept}
    if operation.is_idempotent:
        headers["Idempotency-Key"] = idempotency_key or str(uuid.uuid4())
    given = {name: _plain(name, value) for name, value in (query or {}).items() if value is not None}
    return Request(
        operation.method,
        filled,
        {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()},
        None if operation.method != "POST" else _without_none(body or {}),
        headers,
        may_repeat=operation.method == "GET" or operation.is_idempotent,
    )


def _without_none(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(name, value) for name, value in body.items() if value is not None}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, float) and name in ("amount", "bounty"):
        raise TypeError(f"{name} is the float {value!r}: pass a string or a Decimal")
    return value


def decode(operation: Operation[Result], response: httpx.Response) -> Any:
    """The result of a response. Raises ApiError; Unreachable for a body that is no JSON."""
    if not response.is_success:
        raise error_of(response)
    if operation.is_text:
        return response.text
    if response.status_code == httpx.codes.NO_CONTENT:
        return None
    try:
        return response.json()
    except ValueError as error:
        raise Unreachable("The response is not JSON.") from error


class Retries:
    """Decides about the attempts of one request: at most `limit` more, if it takes effect at most once."""

    def __init__(self, request: Request, limit: int) -> None:
        self._request, self._left = request, limit
        self._backoff = Backoff(0.2, 5.0)

    def pause_after(self, error: DashboardError) -> float:
        """The pause before the next attempt. Raises the error if there is none."""
        was_sent = not isinstance(error.__cause__, NOT_SENT)
        was_limited = isinstance(error, ApiError) and error.status == httpx.codes.TOO_MANY_REQUESTS
        is_harmless = self._request.may_repeat or was_limited or not was_sent
        if self._left <= 0 or not is_transient(error) or not is_harmless:
            raise error
        self._left -= 1
        return pause_before_retry(error, self._backoff)
