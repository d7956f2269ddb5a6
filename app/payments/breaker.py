"""A circuit breaker for a payout service that cannot be reached: it pauses all payments, then lets one try.

Only a connection that could not be made counts. Every answer, also an error, and every answer that does not come is
about one payment, which waits by itself: it must not hold up the payments of others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

FAILURES_TO_OPEN = 5
OPEN_SECONDS = 2.0


@dataclass
class Breaker:
    """One process's memory of whether the payout service can be reached. A worker process settles one payment at a
    time, so the first call after the pause is the only one: it is the probe."""

    clock: Callable[[], float] = monotonic
    failures: int = 0
    open_until: float = 0.0

    @property
    def pause(self) -> float:
        """Seconds for which nobody should call; 0 when calls may be made."""
        return max(0.0, self.open_until - self.clock())

    def succeeded(self) -> None:
        """The service was reached, whatever it answered."""
        self.failures = 0

    def failed(self) -> None:
        """Note a failed connection; the one that makes it too many, and each failed probe, opens the circuit."""
        self.failures += 1
        if self.failures >= FAILURES_TO_OPEN:
            self.open_until = self.clock() + OPEN_SECONDS
