"""How often something happened in the present second."""

from dataclasses import dataclass


@dataclass(slots=True)
class RateCounter:
    count: int = 0
    _second: int = 0

    def add(self, now: float) -> int:
        """Count one more at `now`, in seconds; returns how many there were in its second."""
        if int(now) != self._second:
            self._second, self.count = int(now), 0
        self.count += 1
        return self.count
