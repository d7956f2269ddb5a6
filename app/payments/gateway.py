"""The payout service: one signed POST per payment, whose id is the idempotency key however often it is sent.

Nothing here touches the database: no transaction is open while the network is waited for.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import requests

from app.config import Config
from app.core.money import format_amount
from app.core.text import clean_text
from app.payments.deadline import HeldAdapter, Line, within

MAX_ANSWER = 64 * 1024
MAX_REFERENCE = 200
_REASON_SHOWN = 200
# 409: another request with this key is in progress (draft-ietf-httpapi-idempotency-key-header, section 2.7).
_TRY_AGAIN = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}


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
    """The money has moved; `reference` is the service's own, None when there is none that can be stored."""

    reference: str | None = None


@dataclass(frozen=True)
class Refused:
    """The service will never pay this."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """Nobody knows whether the money has moved: ask again with the same key. `detail` is for the log alone.

    `retry_after`: seconds for which the service asked to be left alone. `was_reached`: whether a connection was made.
    """

    reason: str
    detail: str = ""
    retry_after: float = 0.0
    was_reached: bool = True


Outcome = Paid | Refused | Unknown


def pay(payout: Payout, settings: Config) -> Outcome:
    """Ask for one payout; without a PAYOUT_URL the ledger is all there is. Never raises.

    Whatever ends the call, be it Celery's time limit, it may have been heard. The texts of errors tell addresses.
    """
    if not settings.payout_url:
        return Paid()
    seconds, line = longest_call(settings), Line()
    try:
        return within(seconds, line, lambda line: _ask(payout, settings, line))
    except _BadAnswerError as error:
        return Unknown(str(error))
    except TimeoutError:
        return Unknown(f"the answer does not come within {seconds:g} s", was_reached=line.was_connected)
    except Exception as error:  # noqa: BLE001 - see above
        reason = f"no answer ({type(error).__name__})"
        return Unknown(reason, detail=str(error), was_reached=line.was_connected)


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
    return _outcome(response.status_code, response.headers, answer)


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
        if len(answer) > MAX_ANSWER:
            raise _BadAnswerError(f"the answer is longer than {MAX_ANSWER} bytes")
        if time.monotonic() > deadline:
            raise _BadAnswerError("the answer does not end")
    return answer


def _outcome(status: int, headers: Mapping[str, str], answer: bytes) -> Outcome:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Paid(_reference(answer))
    reason = f"HTTP {status}: {_one_line(answer.decode('utf-8', 'replace'), _REASON_SHOWN)}".rstrip(": ")
    is_final = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    if is_final and status not in _TRY_AGAIN:
        return Refused(reason)
    return Unknown(reason, retry_after=_retry_after(headers))


def _reference(answer: bytes) -> str | None:
    """The service's name for the payout, numbers as they were written; None when nothing of it can be stored.

    Raises _BadAnswerError: a 2xx that does not name the payout proves nothing.
    """
    try:
        reference = json.loads(answer, parse_int=str, parse_float=str)["reference"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _BadAnswerError("2xx without a JSON object with `reference`") from error
    if not isinstance(reference, str) or not reference:
        raise _BadAnswerError("2xx whose `reference` is neither a number nor a string of 1 character or more")
    return _one_line(reference, MAX_REFERENCE) or None


def _one_line(text: str, limit: int) -> str:
    """A provider's text as it can be stored and shown: one line of visible characters, cut to `limit`."""
    line = " ".join(clean_text(text, MAX_ANSWER).split())
    return clean_text("".join(filter(str.isprintable, line)), limit)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds of the Retry-After header (RFC 9110, 10.2.3); 0 when there is none that makes sense.

    A date is compared with the answer's own `Date`, so that the two hosts' clocks need not agree.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        now = parsedate_to_datetime(headers["Date"]) if "Date" in headers else datetime.now(UTC)
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError, OverflowError):  # no date, or one of them without a zone
        return 0.0
