"""Delivers the reports of an agent's tasks from a thread of its own.

A RUNNING report is replaced by the task's next one until it is sent, at most once a second; a terminal update is sent
until the server has accepted or refused it, under one Idempotency-Key, in the order in which the tasks were closed.
"""

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from dashboard_realtime.agent.lane import Attempts, Counters, Keys, Worker
from dashboard_realtime.agent.outbox import RUNNING_SECONDS, Outbox, Record, Report
from dashboard_realtime.agent.sender import Sender
from dashboard_realtime.errors import ApiError, DashboardError

logger = logging.getLogger("dashboard_realtime.agent")

MAX_BATCH = 500


class Reporter:
    def __init__(
        self, sender: Sender, counters: Counters, *, max_tasks: int, on_tasks_changed: Callable[[], None]
    ) -> None:
        self._sender, self._counters, self._max_tasks = sender, counters, max_tasks
        self._on_tasks_changed = on_tasks_changed
        self._outbox, self._attempts = Outbox(), Attempts(counters, is_renewable=sender.is_renewable)
        self._keys = Keys()
        self._records: dict[str, Record] = {}  # open, or closed and not delivered
        self._worker = Worker("dashboard-agent", self._step)
        self.is_closed = False

    def start(self) -> None:
        self._worker.ensure_running()

    def records(self) -> list[Record]:
        """For any thread."""
        return [*self._records.copy().values()]

    def undelivered(self) -> list[Record]:
        return [each for each in self.records() if each.terminal is not None]

    def open(self, protocol_id: str, name: str) -> Record:
        """A task whose terminal update will not be dropped; too many tasks, and this one is not reported at all."""
        record = Record(protocol_id, name, self._keys.next())
        if self.is_closed or len(self._records) >= self._max_tasks:
            record.is_dropped = True
            self._drop(record, "the agent is closed" if self.is_closed else "too many tasks are not delivered")
            return record
        self._records[record.key] = record
        self._on_tasks_changed()
        return record

    def recover(self, record: Record, terminal: Report) -> None:
        """Deliver the terminal update of a task of an earlier process."""
        self._records[record.key] = record
        self._outbox.put_terminal(record, terminal)

    def report(self, record: Record, report: Report) -> None:
        """Tell of a task that runs. Never waits."""
        if record.terminal is None and not record.is_dropped:
            self._outbox.put_running(record, report)
            self._worker.ensure_running()

    def close_task(self, record: Record, report: Report) -> None:
        """Only the process that has opened a task closes it, and only once. Never waits."""
        if record.terminal is None and not record.is_dropped and record.pid == os.getpid():
            self._outbox.put_terminal(record, report)
            self._on_tasks_changed()
            self._worker.ensure_running()

    def _drop(self, record: Record, reason: str) -> None:
        self._counters.count("dropped")
        logger.warning("agent.task_dropped", extra=_context(record) | {"reason": reason})

    def hurry(self) -> None:
        """Try again as soon as the server allows, and with short pauses from now on: the agent is being closed."""
        self.is_closed = self._attempts.is_closing = True
        self._outbox.paused_until = self._attempts.not_before
        self._outbox.wake()

    def stop(self) -> None:
        self._worker.stop()
        self._outbox.wake()

    def after_fork(self) -> None:
        """In a fork: its parent delivers what the parent was told. The fork may tell more of its parent's tasks."""
        for record in self._records.values():
            record.is_queued, record.due = False, 0.0
        self._outbox, self._records = Outbox(), {}
        self._keys.renew()

    def _step(self) -> None:
        self._outbox.take()
        if (record := self._outbox.next_closed()) is not None:
            self._deliver(record)
        elif running := self._outbox.next_running():
            self._report(running[-MAX_BATCH:])

    def _deliver(self, record: Record) -> None:
        report = record.terminal or {}
        try:
            self._sender.close_task(record.body(report), record.key)
        except DashboardError as error:
            pause = self._attempts.pause_after(error, **_context(record), status=report.get("status"))
            if pause is not None:
                self._outbox.paused_until = time.monotonic() + pause
                return
            self._refused(record, error, report)
        else:
            self._attempts.succeeded()
        self._outbox.delivered(record)
        self._records.pop(record.key, None)
        self._on_tasks_changed()

    def _report(self, records: list[Record]) -> None:
        reports = []
        for record in records:
            record.sent = record.newest
            record.due = time.monotonic() + RUNNING_SECONDS
            reports.append(record.sent or {})
        try:
            rejected = self._sender.report([each.body(report) for each, report in zip(records, reports, strict=True)])
        except DashboardError as error:
            pause = self._attempts.pause_after(error, task=records[-1].name)
            if pause is not None:
                self._outbox.paused_until = time.monotonic() + pause
                for record in records:
                    record.sent, record.due = None, 0.0
                return
            for record, report in zip(records, reports, strict=True):
                self._refused(record, error, report)
        else:
            self._attempts.succeeded()
            for each in rejected:
                index = int(each["index"])
                self._refused(records[index], ApiError(422, "REJECTED", str(each["errors"])), reports[index])

    def _refused(self, record: Record, error: DashboardError, report: Report) -> None:
        """Count a permanent refusal; those of a task's RUNNING reports are logged once."""
        self._counters.count("refused")
        is_running = report.get("status") == "RUNNING"
        if not (is_running and record.is_logged):
            record.is_logged = True
            logger.error(
                "agent.report_refused: %s",
                error,
                extra=_context(record) | {"status": report.get("status"), "reason": str(error)},
            )


def _context(record: Record) -> dict[str, Any]:
    return {"protocolId": record.protocol_id, "task": record.name}
