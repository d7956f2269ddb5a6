"""One attempt of a delivery: the signed request, and what its response means. Nothing here touches the database."""

import time
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from app.core import outbound, standard_webhooks
from app.core.outbound import ForbiddenTargetError, Limits, OutboundError, Response
from app.core.outbound_guard import Guard

ATTEMPT_SECONDS = 10.0
LIMITS = Limits(connect_seconds=5.0, read_seconds=ATTEMPT_SECONDS, total_seconds=ATTEMPT_SECONDS, max_body_bytes=0)


class Outcome(StrEnum):
    """How an attempt ended; a label of its metric."""

    DELIVERED = "delivered"
    GONE = "gone"  # 410: the endpoint wants nothing any more
    REFUSED = "refused"  # any other response but 2xx
    NO_RESPONSE = "no_response"
    FORBIDDEN = "forbidden"  # the URL, or an address of its host, is not allowed


@dataclass(frozen=True)
class Result:
    """`error` may be shown to the owner; `detail` is for the log alone. `retry_after`: seconds that it asks for."""

    outcome: Outcome
    seconds: float
    response_code: int | None = None
    error: str | None = None
    detail: str = ""
    retry_after: float = 0.0


def attempt(url: str, delivery_id: str, body: str, secrets: list[str], guard: Guard) -> Result:
    """Send a delivery once. Never raises, and ends within ten seconds."""
    began = time.monotonic()
    try:
        content = body.encode()
        signed = standard_webhooks.signed_headers(delivery_id, int(time.time()), content, secrets)
        headers = {"Content-Type": "application/json", **signed}
        response = outbound.send("POST", url, LIMITS, headers=headers, body=content, guard=guard)
    except OutboundError as error:
        outcome = Outcome.FORBIDDEN if isinstance(error, ForbiddenTargetError) else Outcome.NO_RESPONSE
        return Result(outcome, time.monotonic() - began, error=str(error), detail=error.detail)
    except Exception as error:  # noqa: BLE001 - such as no more threads: the next attempt may succeed
        problem = f"no response ({type(error).__name__})"
        return Result(Outcome.NO_RESPONSE, time.monotonic() - began, error=problem, detail=str(error))
    return _result(response, time.monotonic() - began)


def _result(response: Response, seconds: float) -> Result:
    status = response.status
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Result(Outcome.DELIVERED, seconds, status)
    outcome = Outcome.GONE if status == HTTPStatus.GONE else Outcome.REFUSED
    is_redirect = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
    error = f"HTTP {status}" + (": redirects are not followed" if is_redirect else "")
    says_when = status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
    return Result(outcome, seconds, status, error, retry_after=response.retry_after() if says_when else 0.0)
