"""Counts events in the current second."""

from dataclasses import dataclass


@dataclass(slots=True)
class RateCounter:
    count: int = 0
    _second: int = 0

    def add(self, now: float) -> int:
        """Count an event at `now`, in seconds; returns the events in its second so far."""
        if int(now) != self._second:
            self._second, self.count = int(now), 0
        self.count += 1
        return self.count
