"""The client of the payout service: one signed POST per payment and recipient, each with an idempotency key.

Nothing here touches the database: no transaction is open during the call, and the payments are detached.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from app.config import Config
from app.core import outbound, standard_webhooks
from app.core.outbound import Limits, OutboundError, Response
from app.core.values import clean_text, format_amount
from app.payments.models import Payment

MAX_BODY_BYTES = 64 * 1024
MAX_REFERENCE = 200
BREAKER_FAILURES = 5
BREAKER_OPEN_SECONDS = 2.0
_MAX_REASON = 200
_CONCLUSIVE = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.GONE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
# 409: another request with this key is in progress (draft-ietf-httpapi-idempotency-key-header, section 2.7).
_RETRYABLE = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


@dataclass(frozen=True)
class Paid:
    """The money has moved. `reference` is the service's id of the payout; None when it cannot be stored."""

    reference: str | None = None


@dataclass(frozen=True)
class Refused:
    """The service refused for good.

    `is_conclusive`: the status is about the payment itself, so no earlier attempt with the same key was paid either.
    Others (401, 403, 404 …) may come from a proxy or concern the request's rights.
    """

    reason: str
    is_conclusive: bool = False


@dataclass(frozen=True)
class Unknown:
    """Whether the money has moved is unknown: the request is sent again with the same key.

    `detail` is for the log alone, since texts of errors name addresses. `retry_after`: seconds that the service asked
    to wait. `was_reached`: whether a connection was made.
    """

    reason: str
    detail: str = ""
    retry_after: float = 0.0
    was_reached: bool = True


Outcome = Paid | Refused | Unknown


@dataclass
class Breaker:
    """A circuit breaker: pauses all payments of one process while the payout service cannot be reached.

    Only a connection that could not be made counts. Every response, also an error or none in time, concerns one
    payment, which waits by itself and does not hold up the payments of others. A worker process settles one payment at
    a time, so its first call after the pause is the only one: the probe.
    """

    clock: Callable[[], float] = time.monotonic
    failures: int = 0
    open_until: float = 0.0

    @property
    def remaining_seconds(self) -> float:
        """Seconds until calls are allowed; 0 while the circuit is closed."""
        return max(0.0, self.open_until - self.clock())

    def record(self, *, was_reached: bool) -> None:
        """Count calls without a connection: the fifth in a row and each failed probe open the circuit."""
        self.failures = 0 if was_reached else self.failures + 1
        if self.failures >= BREAKER_FAILURES:
            self.open_until = self.clock() + BREAKER_OPEN_SECONDS


def pay(payment: Payment, settings: Config) -> Outcome:
    """Ask for one payout; without a PAYOUT_URL the ledger alone is charged. Never raises."""
    if not settings.payout_url:
        return Paid()
    try:
        return _outcome(_send(payment, settings))
    except OutboundError as error:
        return Unknown(str(error), error.detail, was_reached=error.was_connected)
    except Exception as error:  # noqa: BLE001 - also Celery's time limit, which may be raised at any line
        return Unknown(f"no response ({type(error).__name__})", str(error))


def max_call_seconds(settings: Config) -> float:
    """Seconds after which a call has ended, whatever the service does."""
    return settings.payout_connect_timeout + 2 * settings.payout_read_timeout


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """`t=…,v1=…`: HMAC-SHA256 over `{timestamp}.{body}`, so that an old request cannot be replayed as a new one."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def idempotency_key(payment: Payment) -> str:
    """The payment's id; `{id}:2` for its second recipient, and so on: a key always carries the same body."""
    return payment.id if payment.recipient_number == 1 else f"{payment.id}:{payment.recipient_number}"


def request_body(payment: Payment) -> bytes:
    """The request's body, byte for byte the same for every attempt with the same key.

    A key that is not the payment's id is in the body too, since the signature does not cover headers.
    """
    members = {
        "paymentId": payment.id,
        "protocolId": payment.protocol_id,
        "amount": format_amount(payment.amount_minor),
        "currency": payment.currency,
        "recipient": payment.recipient,
    }
    if (key := idempotency_key(payment)) != payment.id:
        members["idempotencyKey"] = key
    return json.dumps(members, separators=(",", ":")).encode()


def _send(payment: Payment, settings: Config) -> Response:
    body, key, now = request_body(payment), idempotency_key(payment), int(time.time())
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Idempotency-Key": key,
        "X-Signature": signature(settings.payout_secret, now, body),
        **standard_webhooks.signed_headers(key, now, body, [settings.payout_secret]),
    }
    limits = Limits(
        connect_seconds=settings.payout_connect_timeout,
        read_seconds=settings.payout_read_timeout,
        total_seconds=max_call_seconds(settings),
        max_body_bytes=MAX_BODY_BYTES,
    )
    return outbound.send("POST", settings.payout_url, limits, headers=headers, body=body)


def _outcome(response: Response) -> Outcome:
    status = response.status
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return _paid(response.body)
    reason = f"HTTP {status}: {_one_line(response.body.decode('utf-8', 'replace'), _MAX_REASON)}".rstrip(": ")
    is_final = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    if is_final and status not in _RETRYABLE:
        return Refused(reason, is_conclusive=status in _CONCLUSIVE)
    return Unknown(reason, retry_after=response.retry_after())


def _paid(body: bytes) -> Outcome:
    """Paid with the service's id of the payout, a number as it was written. A 2xx that names none proves nothing."""
    try:
        reference = json.loads(body, parse_int=str, parse_float=str)["reference"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return Unknown("2xx without a JSON object with `reference`")
    if not isinstance(reference, str) or not reference:
        return Unknown("2xx whose `reference` is neither a number nor a string of 1 character or more")
    return Paid(_one_line(reference, MAX_REFERENCE) or None)


def _one_line(text: str, limit: int) -> str:
    """The service's text as it is stored and shown: one line of visible characters, cut to `limit`."""
    line = " ".join(clean_text(text, MAX_BODY_BYTES).split())
    return clean_text("".join(filter(str.isprintable, line)), limit)
