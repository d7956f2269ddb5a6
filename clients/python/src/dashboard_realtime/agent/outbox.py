"""Which report of which task is sent next.

Callers put a report into its task's record and a token into the inbox; neither waits for a lock. All else is done in
the sending thread: each open task has one newest RUNNING report, and closed tasks wait in the order in which they were
closed.
"""

import os
import queue
import time
from collections import deque
from typing import Any

RUNNING_SECONDS = 1.0  # between two RUNNING reports of a task

Report = dict[str, Any]


class Record:
    """A task that is open, or closed and not yet delivered. `key` is the Idempotency-Key of its terminal update."""

    __slots__ = (
        "due",
        "is_dropped",
        "is_logged",
        "is_queued",
        "key",
        "line",
        "name",
        "newest",
        "pid",
        "protocol_id",
        "sent",
        "terminal",
    )

    def __init__(self, protocol_id: str, name: str, key: str) -> None:
        self.key, self.protocol_id, self.name = key, protocol_id, name
        self.newest: Report | None = None
        self.sent: Report | None = None
        self.terminal: Report | None = None
        self.line: tuple[Report | None, str] | None = None  # in the journal, as of this terminal update
        self.due = 0.0
        self.pid = os.getpid()
        self.is_queued = self.is_dropped = self.is_logged = False

    def body(self, report: Report) -> Report:
        return {"protocolId": self.protocol_id, "task": self.name, **report}


class Outbox:
    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[tuple[Record, bool] | None] = queue.SimpleQueue()
        self._open: dict[str, Record] = {}  # the one that was reported last is the last
        self._closed: deque[Record] = deque()
        self.paused_until = 0.0

    def put_running(self, record: Record, report: Report) -> None:
        """Replace the task's newest RUNNING report. For any thread."""
        record.newest = report
        if not record.is_queued:
            record.is_queued = True
            self._inbox.put((record, False))

    def put_terminal(self, record: Record, report: Report) -> None:
        """Close the task. For any thread."""
        record.terminal = report
        self._inbox.put((record, True))

    def wake(self) -> None:
        self._inbox.put(None)

    def take(self) -> None:
        """Wait until something was put or is due, and take all that was put."""
        wait = self._seconds_until_due()
        try:
            token = self._inbox.get(timeout=wait) if wait is None or wait > 0 else self._inbox.get_nowait()
            while True:
                if token is not None:
                    self._take(*token)
                token = self._inbox.get_nowait()
        except queue.Empty:
            pass

    def _take(self, record: Record, is_terminal: bool) -> None:
        self._open.pop(record.key, None)
        if is_terminal:
            self._closed.append(record)
            return
        record.is_queued = False  # before its report is read: a later one puts a new token
        if record.terminal is None:
            self._open[record.key] = record

    def next_closed(self) -> Record | None:
        """The task that was closed first; it stays first until `delivered`."""
        return self._closed[0] if self._closed and time.monotonic() >= self.paused_until else None

    def delivered(self, record: Record) -> None:
        """The server has the terminal update, or has refused it for good."""
        if self._closed and self._closed[0] is record:
            self._closed.popleft()

    def next_running(self) -> list[Record]:
        """The open tasks with a report that may be sent now."""
        now = time.monotonic()
        if now < self.paused_until:
            return []
        return [each for each in self._open.values() if each.newest is not each.sent and now >= each.due]

    def _seconds_until_due(self) -> float | None:
        waiting = [each.due for each in self._open.values() if each.newest is not each.sent]
        if self._closed:
            waiting.append(0.0)
        return max(0.0, max(min(waiting), self.paused_until) - time.monotonic()) if waiting else None
