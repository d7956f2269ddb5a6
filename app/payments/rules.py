"""The rules of a payment: statuses, amounts, pauses between attempts, recipients. Pure: imports no framework."""

from dataclasses import dataclass
from enum import StrEnum

from app.core.values import naming_problem

MAX_RECIPIENT = 128
PAID_NOT_RECORDED = "paid, but not recorded"  # `lastError` begins with it when the money has moved
_MAX_DOUBLINGS = 30


class PaymentStatus(StrEnum):
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    RELEASED = "RELEASED"
    FAILED = "FAILED"


class AmountRefused(ValueError):
    """The requested amount does not fit the reservation; the text is for the client."""


@dataclass(frozen=True)
class Split:
    """The amount to pay and the changes of the pool's reservation that it needs, in minor units."""

    amount: int
    to_release: int = 0
    to_reserve: int = 0


def split_reservation(reserved: int, asked: int | None) -> Split:
    """The whole reservation by default, less on request, never more; without a reservation all is reserved now.

    Raises AmountRefused.
    """
    if reserved == 0:
        if asked is None:
            raise AmountRefused("Is required: no bounty is reserved for this vulnerability.")
        return Split(asked, to_reserve=asked)
    amount = reserved if asked is None else asked
    if amount > reserved:
        raise AmountRefused("Is more than the reserved bounty.")
    return Split(amount, to_release=reserved - amount)


def retry_delay(attempt: int, base: float, cap: float, jitter: float) -> float:
    """Seconds to wait after the n-th attempt: doubles from `base` to `cap`; a `jitter` of 0 halves it, 1 keeps it."""
    whole = min(cap, base * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS))
    return whole * (0.5 + jitter / 2)


def is_recipient(text: str) -> bool:
    """Whether the text is fully visible, so that the person who releases a payment reads where it goes.

    `isprintable` excludes Unicode's format, private-use and unassigned characters and all blanks but the space.
    """
    fits = 0 < len(text) <= MAX_RECIPIENT and text.isprintable() and text == text.strip()
    return fits and naming_problem(text) is None
