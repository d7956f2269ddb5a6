"""Random, growing pauses between attempts, and what a response says about them."""

import random
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from dashboard_realtime.errors import ApiError, DashboardError, Unreachable

MAX_RETRY_AFTER_SECONDS = 300.0
MAX_DETAIL = 300


class Backoff:
    """Pauses that double with each failure, from `first` up to `cap` seconds, shortened at random by up to a half."""

    def __init__(self, first: float = 0.5, cap: float = 15.0) -> None:
        self._first, self._cap, self._failures = first, cap, 0

    def next(self) -> float:
        pause = min(self._cap, self._first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return pause * random.uniform(0.5, 1)  # noqa: S311 - spreads clients, protects nothing

    def reset(self) -> None:
        self._failures = 0


def pause_before_retry(error: Exception, backoff: Backoff) -> float:
    """The pause after this failure: the server's `Retry-After` if that is longer than the own one."""
    wanted = (error.retry_after or 0.0) if isinstance(error, ApiError) else 0.0
    return max(backoff.next(), min(wanted, MAX_RETRY_AFTER_SECONDS))


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    return error.is_transient if isinstance(error, ApiError) else isinstance(error, Unreachable)


def error_of(response: httpx.Response) -> ApiError:
    """The exception of a refusal; the code is HTTP_<status> if the response is not the server's but a proxy's."""
    problem = _problem(response)
    status = response.status_code
    return ApiError(
        status,
        str(problem.get("code") or f"HTTP_{status}"),
        str(problem.get("detail") or problem.get("title") or response.reason_phrase or "")[:MAX_DETAIL],
        request_id=problem.get("requestId") or response.headers.get("X-Request-Id"),
        errors=problem.get("errors"),
        retry_after=retry_after(response.headers),
        problem=problem,
    )


def unreachable(error: Exception) -> DashboardError:
    """The exception for a request without a response. httpx's texts name no token."""
    return Unreachable(f"{type(error).__name__}: {error}".removesuffix(": "))


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        problem = response.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds: a number, or a date."""
    wanted = headers.get("Retry-After", "").strip()
    if not wanted:
        return None
    if wanted.isdigit():
        return float(wanted)
    try:
        return max(0.0, (parsedate_to_datetime(wanted) - datetime.now(timezone.utc)).total_seconds())
    except (TypeError, ValueError):
        return None
