"""Steps about the reporter of an agent; the docstring of each is its line in the README."""

import time
from typing import Any

from clients.conformance.reports import TERMINAL
from clients.conformance.steps_base import Failed, StepsBase

SETTLE_SECONDS = 0.3


class AgentSteps(StepsBase):
    def step_task(self, task: str) -> None:
        """The agent begins a task."""
        self._command("task", task=task)

    def step_progress(self, report: dict[str, Any]) -> None:
        """The agent reports `progress` of `task`; with `to`, every value from `progress` to it, as fast as it can."""
        for progress in range(report["progress"], report.get("to", report["progress"]) + 1):
            self._command("progress", task=report["task"], progress=progress)

    def step_complete(self, task: str) -> None:
        """The agent leaves the task without an error."""
        self._command("complete", task=task)

    def step_fail(self, failure: dict[str, str]) -> None:
        """The agent leaves `task` with an error whose text is `message`."""
        self._command("fail", **failure)

    def step_file(self, finding: dict[str, Any]) -> None:
        """The agent files a finding."""
        self._command("file", **finding)

    def _command(self, name: str, **members: Any) -> None:
        if not self._commands:
            self._commanded_at = time.monotonic()
        self._commands += 1
        self.driver.send(name, **members)

    def step_reported(self, wanted: dict[str, Any]) -> None:
        """Wait until the server has taken a report with these members; `error` is a part of its message."""
        self._wait(lambda: self._find(wanted), lambda: f"reported {wanted}; taken: {self.server.reports.taken[-10:]}")

    def _find(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        members = {name: value for name, value in wanted.items() if name != "error"}
        text = wanted.get("error", "")
        return [
            each
            for each in list(self.server.reports.taken)
            if members.items() <= each.items() and (not text or text in str(each.get("error")))
        ]

    def step_reported_once(self, wanted: dict[str, Any]) -> None:
        """As `reported`, and only one report with these members took effect."""
        self.step_reported(wanted)
        time.sleep(SETTLE_SECONDS)
        if len(found := self._find(wanted)) != 1:
            raise Failed(f"{len(found)} reports {wanted} took effect: {found}")

    def step_not_reported(self, unwanted: dict[str, Any]) -> None:
        """The server has taken no report with these members."""
        if found := self._find(unwanted):
            raise Failed(f"a report {unwanted} took effect: {found}")

    def step_filed(self, titles: list[str]) -> None:
        """Wait until exactly these findings are filed, each once, in this order."""
        self._wait(lambda: self._titles() == titles, lambda: f"filed {titles}; filed are {self._titles()}")

    def _titles(self) -> list[str]:
        return [each["title"] for each in list(self.server.reports.filed)]

    def step_returned(self) -> None:
        """Wait until every call of the agent has returned, whatever the server does meanwhile."""
        self._wait(
            lambda: self._returned() >= self._commands, lambda: f"{self._commands} calls; {self._returned()} did"
        )

    def _returned(self) -> int:
        return sum(each.get("command") != "token" for each in self.driver.of("done"))

    def step_in_order(self, tasks: list[str]) -> None:
        """The tasks ended in this order, and none was reported as running after its end."""
        ended = [each["task"] for each in self.server.reports.taken if each["status"] in TERMINAL]
        if [each for each in ended if each in tasks] != tasks:
            raise Failed(f"the tasks ended in the order {ended} instead of {tasks}")
        for task in tasks:
            statuses = [each["status"] for each in self.server.reports.taken if each["task"] == task]
            if any(status == "RUNNING" for status in statuses[statuses.index(self._end_of(statuses)) :]):
                raise Failed(f"{task!r} was reported as running after its end: {statuses}")

    @staticmethod
    def _end_of(statuses: list[str]) -> str:
        return next(status for status in statuses if status in TERMINAL)

    def step_paced(self, task: str) -> None:
        """There was at most one RUNNING report of this task a second since the first command."""
        elapsed = time.monotonic() - self._commanded_at
        running = [each for each in self.server.reports.taken if each["task"] == task and each["status"] == "RUNNING"]
        if len(running) > elapsed + 1:
            raise Failed(f"{len(running)} RUNNING reports of {task!r} within {elapsed:.1f} s")
