"""What this process has emitted of the outbox: each protocol's last position, and the rows that await their mark."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from cachetools import LRUCache
from flask import Flask

from app.core.concurrency import SharedCache

logger = logging.getLogger(__name__)

MARK_SECONDS = 0.25
MAX_MARKS = 3_000  # in a statement
MAX_POSITIONS = 10_000  # protocols


class EmittedEvents:
    """Calls `mark` in the background, once for the ids of all rows that were emitted within a quarter of a second.

    `awaiting_mark` are the ids for which `mark` has not returned; `positions` are of the protocols used last.
    """

    def __init__(self, app: Flask, mark: Callable[[list[int]], None]) -> None:
        self._app, self._mark, self._lock = app, mark, threading.Lock()
        self.awaiting_mark: frozenset[int] = frozenset()
        self.positions: SharedCache[str, int] = SharedCache(LRUCache(MAX_POSITIONS))

    def add(self, rows: Sequence[Any]) -> None:
        """Remember rows of one protocol that were emitted in order."""
        if not rows:
            return
        self.positions[rows[-1].protocol_id] = rows[-1].position
        with self._lock:
            is_idle = not self.awaiting_mark
            self.awaiting_mark |= {row.id for row in rows}
        if is_idle:
            try:
                threading.Thread(target=self._mark_until_none_waits, daemon=True).start()
            except RuntimeError as error:  # no more threads; the sweep emits them again, without effect
                logger.warning("outbox.mark_failed", extra={"events": len(rows), "error": str(error)})
                with self._lock:
                    self.awaiting_mark = frozenset()

    def _mark_until_none_waits(self) -> None:
        is_done = False
        while not is_done:
            time.sleep(MARK_SECONDS)
            ids = frozenset(islice(self.awaiting_mark, MAX_MARKS))
            try:
                with self._app.app_context():
                    self._mark(list(ids))
            except Exception:  # the next ones must be marked; the sweep emits these again, without effect
                logger.exception("outbox.mark_failed", extra={"events": len(ids)})
            with self._lock:
                self.awaiting_mark -= ids
                is_done = not self.awaiting_mark
