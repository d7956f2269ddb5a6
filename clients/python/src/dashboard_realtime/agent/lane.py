"""What the lanes of an agent (its reports, its findings) share: attempts, pauses, refusals and counts."""

import itertools
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from dashboard_realtime.errors import ApiError, DashboardError
from dashboard_realtime.retrying import Backoff, is_transient, pause_before_retry

logger = logging.getLogger("dashboard_realtime.agent")

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.5, 10.0
MAX_PAUSE_AT_CLOSE_SECONDS = 0.5
TOKEN_ATTEMPTS = 5  # of a request that is refused with 401, if the token comes from a function


@dataclass
class Counters:
    """`sent`: accepted reports and findings. `dropped`: never sent. `refused`: refused by the server for good."""

    sent: int = 0
    dropped: int = 0
    refused: int = 0
    retries: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, name: str) -> None:
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)


class Keys:
    """Idempotency-Keys. No random numbers are read for each: that would let another thread run meanwhile."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """In a fork, whose keys must differ from its parent's."""
        self._prefix, self._numbers = uuid.uuid4().hex, itertools.count(1)

    def next(self) -> str:
        return f"{self._prefix}-{next(self._numbers)}"


class Attempts:
    """The attempts of one lane: after a transient failure everything of the lane waits."""

    def __init__(self, counters: Counters, *, is_renewable: bool) -> None:
        self._counters, self._is_renewable = counters, is_renewable
        self._backoff = Backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS)
        self._unauthorized = 0
        self.is_closing = False
        self.not_before = 0.0  # by the steady clock: the end of the server's `Retry-After`

    def succeeded(self) -> None:
        self._backoff.reset()
        self._unauthorized = 0
        self._counters.count("sent")

    def pause_after(self, error: DashboardError, **context: Any) -> float | None:
        """The pause before the next attempt; None if the server has refused for good."""
        if not is_transient(error) and not _is_of_a_proxy(error) and not self._may_have_a_new_token(error):
            self._unauthorized = 0
            return None
        self._counters.count("retries")
        pause = pause_before_retry(error, self._backoff)
        wanted = min(error.retry_after or 0.0, pause) if isinstance(error, ApiError) else 0.0
        self.not_before = time.monotonic() + wanted
        if self.is_closing:
            pause = max(wanted, min(pause, MAX_PAUSE_AT_CLOSE_SECONDS))
        logger.warning("agent.retry_scheduled", extra={"reason": str(error), "pause": round(pause, 3), **context})
        return pause

    def _may_have_a_new_token(self, error: DashboardError) -> bool:
        is_expired = isinstance(error, ApiError) and error.status == httpx.codes.UNAUTHORIZED
        self._unauthorized += is_expired
        return is_expired and self._is_renewable and self._unauthorized < TOKEN_ATTEMPTS


def _is_of_a_proxy(error: DashboardError) -> bool:
    """Whether the response is not the server's own: during an outage a proxy may answer anything, such as 404."""
    return isinstance(error, ApiError) and error.code == f"HTTP_{error.status}"


class Worker:
    """A daemon thread that runs one step after the other until it is stopped; a fork starts its own if needed."""

    def __init__(self, name: str, step: Callable[[], None]) -> None:
        self._name, self._step = name, step
        self._pid = 0
        self._is_stopped = False

    def ensure_running(self) -> None:
        if self._pid != os.getpid() and not self._is_stopped:
            self._pid = os.getpid()
            threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def stop(self) -> None:
        """The thread ends after its present step; it is not waited for, because a request may hang."""
        self._is_stopped = True

    def _run(self) -> None:
        while not self._is_stopped:
            try:
                self._step()
            except Exception:  # noqa: PERF203 - a mistake of this package must not end the reports
                logger.exception("agent.step_failed", extra={"worker": self._name})
                time.sleep(1)
