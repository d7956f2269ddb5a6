"""What an agent's journal holds, and what the next process makes of it."""

import json
import logging
from typing import Any

from dashboard_realtime.agent import reports
from dashboard_realtime.agent.findings import Finding, Findings
from dashboard_realtime.agent.journal import Entry
from dashboard_realtime.agent.outbox import Record
from dashboard_realtime.agent.reporter import Reporter

logger = logging.getLogger("dashboard_realtime.agent")

CRASHED = "The agent's process ended without closing the task."


def lines(reporter: Reporter, findings: Findings) -> list[str]:
    """The journal's entries; each is made once, because all are written again at each change."""
    return [*map(_task_line, reporter.records()), *map(_finding_line, findings.waiting())]


def _task_line(record: Record) -> str:
    terminal = record.terminal
    if record.line is None or record.line[0] is not terminal:
        task = {"key": record.key, "protocolId": record.protocol_id, "task": record.name, "terminal": terminal}
        record.line = terminal, json.dumps(task)
    return record.line[1]


def _finding_line(finding: Finding) -> str:
    if finding.line is None:
        finding.line = json.dumps({"key": finding.key, "protocolId": finding.protocol_id, "finding": finding.body})
    return finding.line


def recover(left: list[Entry], reporter: Reporter, findings: Findings) -> None:
    """Report open tasks as FAILED, and send again what was closed or filed, under the same Idempotency-Keys.

    If a task's end was delivered but not noted before the crash, the server refuses another end under the same key.
    """
    for each in left:
        if "finding" in each:
            logger.warning("agent.finding_recovered", extra={"title": each["finding"].get("title")})
            findings.file(Finding(each["protocolId"], each["finding"], each["key"]))
        else:
            terminal: dict[str, Any] = each["terminal"] or reports.failed(CRASHED, "AGENT_CRASHED")
            logger.warning("agent.task_recovered", extra={"task": each["task"], "status": terminal["status"]})
            reporter.recover(Record(each["protocolId"], each["task"], each["key"]), terminal)
