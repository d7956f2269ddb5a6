"""The rules of a payment: statuses, amounts, pauses between attempts, recipients. Pure: imports no framework."""

from enum import StrEnum

from app.core.errors import InvalidInput
from app.core.values import naming_problem

MAX_RECIPIENT = 128
PAID_NOT_RECORDED = "paid, but not recorded"  # `lastError` begins with it when the money has moved
WAS_PAID = -1  # in place of `unpaid_attempts`: the service has answered that it paid
_MAX_DOUBLINGS = 30


class PaymentStatus(StrEnum):
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    RELEASED = "RELEASED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


TOLD_STATUSES = (PaymentStatus.PENDING, PaymentStatus.FAILED, PaymentStatus.RELEASED, PaymentStatus.CANCELLED)
OLD_STATUSES = (PaymentStatus.PENDING, PaymentStatus.PROCESSING, PaymentStatus.FAILED)


def payable_amount(reserved: int, requested: int | None) -> int:
    """The whole reservation by default, less on request, never more; without a reservation the requested amount.

    Minor units. Raises InvalidInput.
    """
    if reserved == 0 and requested is None:
        problem = "Is required: no bounty is reserved for this vulnerability."
    elif requested is not None and requested > reserved > 0:
        problem = "Is more than the reserved bounty."
    else:
        return reserved if requested is None else requested
    raise InvalidInput(f"The amount cannot be paid: {problem}", fields={"amount": [problem]})


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
