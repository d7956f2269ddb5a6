"""One attempt of a delivery: the signed request, and what its response means. Nothing here touches the database."""

import time
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

import requests

from app.core import outbound, standard_webhooks
from app.core.outbound import ForbiddenTargetError, Limits, OutboundError, Response
from app.core.outbound_guard import Guard
from app.core.outbound_sockets import Sockets
from app.webhooks.lease import Leased
from app.webhooks.schedule import ATTEMPT_SECONDS

LIMITS = Limits(connect_seconds=5.0, read_seconds=ATTEMPT_SECONDS, total_seconds=ATTEMPT_SECONDS, max_body_bytes=0)
TOO_LATE = f"no complete response within {ATTEMPT_SECONDS:g} s"


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


class Attempt:
    """One request, which runs in a thread of its own; whoever started it cuts it off when its time is up."""

    def __init__(self, leased: Leased, guard: Guard) -> None:
        self.leased = leased
        self._guard = guard
        self._sockets = Sockets()
        self._began = time.monotonic()

    def run(self) -> Result:
        """Never raises."""
        try:
            response = outbound.exchange(self._request(), LIMITS, self._sockets, self._guard)
        except OutboundError as error:
            outcome = Outcome.FORBIDDEN if isinstance(error, ForbiddenTargetError) else Outcome.NO_RESPONSE
            return Result(outcome, self.seconds, error=str(error), detail=error.detail)
        except Exception as error:  # noqa: BLE001 - the next attempt may succeed
            problem = f"no response ({type(error).__name__})"
            return Result(Outcome.NO_RESPONSE, self.seconds, error=problem, detail=str(error))
        return _result(response, self.seconds)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def cut_off(self) -> Result:
        """End the request, whose time is up. Its thread may still be looking up a name."""
        self._sockets.shut_down()
        return Result(Outcome.NO_RESPONSE, self.seconds, error=TOO_LATE)

    def _request(self) -> requests.Request:
        delivery = self.leased.delivery
        body = delivery.body.encode()
        signed = standard_webhooks.signed_headers(delivery.id, int(time.time()), body, self.leased.secrets)
        return requests.Request(
            "POST", self.leased.url, headers={"Content-Type": "application/json", **signed}, data=body
        )


def _result(response: Response, seconds: float) -> Result:
    status = response.status
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Result(Outcome.DELIVERED, seconds, status)
    outcome = Outcome.GONE if status == HTTPStatus.GONE else Outcome.REFUSED
    is_redirect = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
    error = f"HTTP {status}" + (": redirects are not followed" if is_redirect else "")
    says_when = status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
    return Result(outcome, seconds, status, error, retry_after=response.retry_after() if says_when else 0.0)
