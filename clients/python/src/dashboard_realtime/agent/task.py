"""`Task`: what an agent's code uses while it works. No call waits for anything, and none raises because of a report."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dashboard_realtime.agent import reports
from dashboard_realtime.agent.outbox import Record
from dashboard_realtime.agent.reports import Eta

if TYPE_CHECKING:
    from dashboard_realtime.agent.agent import BaseAgent
    from dashboard_realtime.agent.findings import Finding

logger = logging.getLogger("dashboard_realtime.agent")


class Task:
    """A task that was begun. `with` ends it: COMPLETED, or FAILED with the exception, which goes on.

    `next_task` is the name of the agent's next task, told with COMPLETED; by default the next one of its queue follows.
    """

    def __init__(self, agent: "BaseAgent", record: Record, next_task: str | None = None) -> None:
        self._agent, self._record, self.next_task = agent, record, next_task

    def __repr__(self) -> str:
        return f"<Task {self.name!r} of {self.protocol_id}>"

    @property
    def name(self) -> str:
        return self._record.name

    @property
    def protocol_id(self) -> str:
        return self._record.protocol_id

    def progress(self, percent: float, *, eta: Eta = None) -> None:
        """Tell how far the task is; at most one report a second is sent, the newest.

        `eta`: a time, or the time left as a timedelta or in seconds.
        """
        if report := self._made(lambda: reports.running(percent, eta)):
            self._agent.reporter.report(self._record, report)

    def complete(self, next_task: str | None = None) -> None:
        """End the task without `with`; what is told afterwards is ignored."""
        self._agent.reporter.close_task(self._record, reports.completed(next_task or self.next_task))

    def fail(self, error: BaseException | str, *, code: str | None = None) -> None:
        """End the task as FAILED; `error` is an exception or a message."""
        self._agent.reporter.close_task(self._record, reports.failed(error, code))

    def file(self, title: str, severity: str, **details: Any) -> "Finding":
        """File a finding in the task's protocol, as `Agent.file`."""
        return self._agent.file(title, severity, **{"protocol_id": self.protocol_id, **details})

    def __enter__(self) -> "Task":
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            self.complete()
        else:
            self.fail(error)

    async def __aenter__(self) -> "Task":
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.__exit__(kind, error, traceback)

    def _made(self, make: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        try:
            return make()
        except (TypeError, ValueError, OverflowError) as error:
            self._agent.counters.count("dropped")
            logger.error("agent.report_dropped", extra={"task": self.name, "reason": str(error)})  # noqa: TRY400
            return None
