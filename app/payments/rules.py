"""The rules of a payment: its statuses, its terms, when it is tried again. Pure: imports no framework."""

from dataclasses import dataclass
from enum import StrEnum

from app.core.text import naming_problem

MAX_RECIPIENT = 128
PAID_NOT_RECORDED = "paid, but not recorded"  # how `lastError` begins when the money has moved
_MAX_DOUBLINGS = 30


class PaymentStatus(StrEnum):
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    RELEASED = "RELEASED"
    FAILED = "FAILED"


class TermsRefused(ValueError):
    """The amount asked for does not fit what is reserved; the text is for the client."""


@dataclass(frozen=True)
class Terms:
    """What is paid, and what that changes in the pool's reservations; minor units."""

    amount: int
    give_back: int = 0
    reserve_now: int = 0


def terms_of(reserved: int, asked: int | None) -> Terms:
    """The whole reservation by default, less on demand, never more; all of it now where nothing is reserved.

    Raises TermsRefused.
    """
    if reserved == 0:
        if asked is None:
            raise TermsRefused("Is required: no bounty is reserved for this vulnerability.")
        return Terms(asked, reserve_now=asked)
    amount = reserved if asked is None else asked
    if amount > reserved:
        raise TermsRefused("Is more than the reserved bounty.")
    return Terms(amount, give_back=reserved - amount)


def retry_delay(attempt: int, base: float, cap: float, spread: float) -> float:
    """Seconds to wait after the n-th attempt: doubles from `base` to `cap`; `spread` (0 to 1) is the jitter."""
    whole = min(cap, base * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS))
    return whole * (0.5 + spread / 2)


def is_recipient(text: str) -> bool:
    """Whether all of it can be seen: nothing that hides or turns the line around, so that who releases a payment
    reads whom it goes to. `isprintable` refuses what Unicode calls format, private, unassigned and other blanks.
    """
    fits = 0 < len(text) <= MAX_RECIPIENT and text.isprintable() and text == text.strip()
    return fits and naming_problem(text) is None
