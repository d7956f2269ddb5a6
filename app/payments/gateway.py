"""The payout service: one signed POST per payment, whose id is the idempotency key however often it is sent.

Nothing here touches the database: no transaction is open while the network is waited for.
"""

import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from http import HTTPStatus

import requests

from app.config import Config
from app.money import format_amount
from app.payments.bounded import HeldAdapter, Line, within

LARGEST_ANSWER = 64 * 1024
MAX_REFERENCE = 200
_REASON_SHOWN = 200
_TRY_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


@dataclass(frozen=True)
class Payout:
    """What the service is asked to pay."""

    payment_id: str
    protocol_id: str
    amount_minor: int
    currency: str
    recipient: str

    def body(self) -> bytes:
        """The request's body, the same for every attempt."""
        members = {
            "paymentId": self.payment_id,
            "protocolId": self.protocol_id,
            "amount": format_amount(self.amount_minor),
            "currency": self.currency,
            "recipient": self.recipient,
        }
        return json.dumps(members, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Paid:
    """The money has moved; `reference` is the service's own, None when the ledger alone was asked."""

    reference: str | None = None


@dataclass(frozen=True)
class Refused:
    """The service will never pay this."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """Nobody knows whether the money has moved: ask again with the same key. `detail` is for the log alone."""

    reason: str
    detail: str = ""


Outcome = Paid | Refused | Unknown


def pay(payout: Payout, settings: Config) -> Outcome:
    """Ask for one payout; without a PAYOUT_URL the ledger is all there is. Never raises.

    Whatever ends the call, be it Celery's time limit, it may have been heard. The texts of errors tell addresses.
    """
    if not settings.payout_url:
        return Paid()
    seconds = longest_call(settings)
    try:
        return within(seconds, lambda line: _ask(payout, settings, line))
    except _BadAnswerError as error:
        return Unknown(str(error))
    except TimeoutError:
        return Unknown(f"the answer does not come within {seconds:g} s")
    except Exception as error:  # noqa: BLE001 - see above
        return Unknown(f"no answer ({type(error).__name__})", detail=str(error))


def longest_call(settings: Config) -> float:
    """Seconds after which a call has ended, whatever the service does: reaching it, its headers, its body."""
    return settings.payout_connect_timeout + 2 * settings.payout_read_timeout


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """`t=…,v1=…`: HMAC-SHA256 over `{timestamp}.{body}`, so that an old request cannot be sent again as new."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


class _OneRequest(requests.Session):
    """Follows no redirect: a signed order to pay goes to the configured address or nowhere."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Also keeps `requests` from reading the redirect's body, without limit, for itself."""


class _BadAnswerError(Exception):
    """An answer that is too long, too slow, or not what was agreed."""


def _ask(payout: Payout, settings: Config, line: Line) -> Outcome:
    body = payout.body()
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Idempotency-Key": payout.payment_id,
        "X-Signature": signature(settings.payout_secret, int(time.time()), body),
    }
    timeout = (settings.payout_connect_timeout, settings.payout_read_timeout)
    with (
        _one_request(line) as session,
        session.post(settings.payout_url, data=body, headers=headers, timeout=timeout, stream=True) as response,
    ):
        answer = _read(response, time.monotonic() + settings.payout_read_timeout)
    return _outcome(response.status_code, answer)


def _one_request(line: Line) -> requests.Session:
    session = _OneRequest()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HeldAdapter(line))
    return session


def _read(response: requests.Response, deadline: float) -> bytes:
    """The body, unless it is too long or trickles in for longer than the read timeout.

    By `read1`, which hands over what has come: other reads wait until they are full, however slowly it comes.
    """
    answer = b""
    while piece := response.raw.read1(4096, decode_content=True):
        answer += piece
        if len(answer) > LARGEST_ANSWER:
            raise _BadAnswerError(f"the answer is longer than {LARGEST_ANSWER} bytes")
        if time.monotonic() > deadline:
            raise _BadAnswerError("the answer does not end")
    return answer


def _outcome(status: int, answer: bytes) -> Outcome:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Paid(_reference(answer))
    shown = "".join(char for char in answer.decode("utf-8", "replace") if char.isprintable())[:_REASON_SHOWN]
    reason = f"HTTP {status}: {shown}".rstrip(": ")
    is_final = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return Refused(reason) if is_final and status not in _TRY_AGAIN else Unknown(reason)


def _reference(answer: bytes) -> str:
    """Raises _BadAnswerError: a 2xx that does not name the payout proves nothing."""
    try:
        reference = json.loads(answer)["reference"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _BadAnswerError("2xx without a JSON object with `reference`") from error
    if not isinstance(reference, str) or not 0 < len(reference) <= MAX_REFERENCE or "\x00" in reference:
        raise _BadAnswerError(f"`reference` is not a string of 1 to {MAX_REFERENCE} characters")
    return reference
