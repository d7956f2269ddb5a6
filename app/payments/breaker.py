"""A circuit breaker: after several failures in a row nobody is called for a while, then one call tries."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

FAILURES_TO_OPEN = 5
OPEN_SECONDS = 10.0


@dataclass
class Breaker:
    """One process's memory of how the payout service does. A worker process settles one payment at a time, so the
    first call after the pause is the only one: it is the probe."""

    clock: Callable[[], float] = monotonic
    failures: int = 0
    open_until: float = 0.0

    @property
    def pause(self) -> float:
        """Seconds for which nobody should call; 0 when calls may be made."""
        return max(0.0, self.open_until - self.clock())

    def succeeded(self) -> None:
        self.failures = 0

    def failed(self) -> None:
        """Note a failed call; the one that makes it too many, and each failed probe, opens the circuit."""
        self.failures += 1
        if self.failures >= FAILURES_TO_OPEN:
            self.open_until = self.clock() + OPEN_SECONDS
