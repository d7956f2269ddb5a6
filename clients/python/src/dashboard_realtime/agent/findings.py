"""Files an agent's findings from a thread of its own, one after the other, each under one Idempotency-Key."""

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import queue
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from dashboard_realtime.agent.lane import Attempts, Counters, Keys, Worker
from dashboard_realtime.agent.sender import Sender
from dashboard_realtime.errors import DashboardError, NotAccepted

if TYPE_CHECKING:
    from dashboard_realtime.rest import types

logger = logging.getLogger("dashboard_realtime.agent")


class Finding(concurrent.futures.Future):  # type: ignore[type-arg] # not generic before Python 3.9's stubs
    """A finding on its way. `result(timeout)`, or `await` it: the filed vulnerability; a refusal is raised."""

    def __init__(self, protocol_id: str, body: dict[str, Any], key: str) -> None:
        super().__init__()
        self.protocol_id, self.body, self.key = protocol_id, body, key
        self.line: str | None = None  # in the journal

    def __await__(self) -> "Generator[Any, None, types.Vulnerability]":
        return asyncio.wrap_future(self).__await__()


class Findings:
    def __init__(self, sender: Sender, counters: Counters, *, max_waiting: int, on_changed: Callable[[], None]) -> None:
        self._sender, self._counters, self._max_waiting, self._on_changed = sender, counters, max_waiting, on_changed
        self._attempts = Attempts(counters, is_renewable=sender.is_renewable)
        self._inbox: queue.SimpleQueue[Finding | None] = queue.SimpleQueue()
        self._waiting: dict[str, Finding] = {}
        self._keys = Keys()
        self._worker = Worker("dashboard-findings", self._step)
        self._is_closed = self._is_stopped = False
        self._paused_until = 0.0

    def waiting(self) -> list[Finding]:
        """For any thread."""
        return [*self._waiting.copy().values()]

    def start(self) -> None:
        self._worker.ensure_running()

    def new(self, protocol_id: str, body: dict[str, Any]) -> Finding:
        return Finding(protocol_id, body, self._keys.next())

    def file(self, finding: Finding) -> None:
        """Never waits; if too many wait, the finding ends with NotAccepted."""
        if self._is_closed or len(self._waiting) >= self._max_waiting:
            reason = "the agent is closed" if self._is_closed else f"{self._max_waiting} findings are waiting"
            self.refuse(finding, NotAccepted(reason))
            return
        self._waiting[finding.key] = finding
        self._on_changed()
        self._inbox.put(finding)
        self._worker.ensure_running()

    def refuse(self, finding: Finding, error: Exception) -> None:
        """End a finding that is not sent."""
        self._counters.count("dropped")
        logger.error("agent.finding_dropped", extra=_context(finding) | {"reason": str(error)})
        finding.set_exception(error)

    def hurry(self) -> None:
        self._is_closed = self._attempts.is_closing = True
        self._paused_until = self._attempts.not_before
        self._inbox.put(None)

    def stop(self) -> None:
        self._worker.stop()
        self._is_stopped = True
        self._inbox.put(None)
        for finding in self.waiting():
            self._resolve(finding, NotAccepted("the agent was closed before the finding was filed"))

    def after_fork(self) -> None:
        self._inbox, self._waiting = queue.SimpleQueue(), {}
        self._keys.renew()

    def _step(self) -> None:
        finding = self._inbox.get()
        if finding is not None and not finding.set_running_or_notify_cancel():
            self._waiting.pop(finding.key, None)
            return
        while finding is not None and not self._is_stopped:
            pause = self._attempt(finding)
            if pause is None:
                self._waiting.pop(finding.key, None)
                self._on_changed()
                return
            self._wait(pause)

    def _wait(self, pause: float) -> None:
        """Pause; shorter if the agent is closed meanwhile."""
        self._paused_until = time.monotonic() + pause
        while (left := self._paused_until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    def _attempt(self, finding: Finding) -> float | None:
        """The pause before the next attempt; None when the finding is filed or refused."""
        try:
            filed = self._sender.file(finding.protocol_id, finding.body, finding.key)
        except DashboardError as error:
            pause = self._attempts.pause_after(error, **_context(finding))
            if pause is None:
                self._counters.count("refused")
                self._log_refusal(finding, error)
                self._resolve(finding, error)
            return pause
        self._attempts.succeeded()
        self._resolve(finding, filed)
        return None

    @staticmethod
    def _log_refusal(finding: Finding, error: DashboardError) -> None:
        logger.error("agent.finding_refused: %s", error, extra=_context(finding) | {"reason": str(error)})

    @staticmethod
    def _resolve(finding: Finding, outcome: Any) -> None:
        with contextlib.suppress(concurrent.futures.InvalidStateError):  # the agent was closed meanwhile
            if isinstance(outcome, Exception):
                finding.set_exception(outcome)
            else:
                finding.set_result(outcome)


def _context(finding: Finding) -> dict[str, Any]:
    return {"protocolId": finding.protocol_id, "title": finding.body.get("title"), "pid": os.getpid()}
