"""Statuses and severities of a vulnerability. Pure: imports no framework.

PENDING → CONFIRMED → PAID, or PENDING → REJECTED; nothing else.
"""

from enum import StrEnum


class Severity(StrEnum):
    """Most severe first."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"
    INFO = "INFO"

    @property
    def rank(self) -> int:
        """0 for the most severe."""
        return list(Severity).index(self)


class Status(StrEnum):
    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    PAID = "PAID"


PREVIOUS: dict[Status, Status] = {
    Status.CONFIRMED: Status.PENDING,
    Status.REJECTED: Status.PENDING,
    Status.PAID: Status.CONFIRMED,
}
OPEN = (Status.PENDING, Status.CONFIRMED)
