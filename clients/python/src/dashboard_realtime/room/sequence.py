"""Detects lost events by a room's `seq`. Pure.

Missing numbers count only if no snapshot covers them: after joining, events older than the snapshot may still arrive,
and some of those may have been dropped. A `seq` that does not rise means that the room was started anew.
"""

from collections.abc import Iterable


class Sequence:
    def __init__(self) -> None:
        self._arrived: int | None = None
        self._covered: int | None = None

    def restart(self) -> None:
        """Start over for a new connection or room."""
        self._arrived = self._covered = None

    def cover(self, seq: str, since: Iterable[str]) -> bool:
        """Adopt a snapshot with this seq; `since`: the seqs of events since its fetch began. Whether any is missing."""
        self._covered = known = int(seq)
        before, is_loss = -1, False
        for each in map(int, since):
            is_loss = is_loss or each > known + 1 or each <= before
            known, before = max(known, each), each
        return is_loss

    def arrive(self, seq: str) -> bool:
        """Record an event. Whether an event was lost before it."""
        now, before = int(seq), self._arrived
        self._arrived = now
        if before is not None and now <= before:
            return True
        if self._covered is None:
            return False
        return now > max(self._covered, -1 if before is None else before) + 1
