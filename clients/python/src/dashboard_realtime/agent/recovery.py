"""What an agent's journal holds, and what the next process makes of it."""

import logging
from typing import Any

from dashboard_realtime.agent import reports
from dashboard_realtime.agent.findings import Finding, Findings
from dashboard_realtime.agent.journal import Content
from dashboard_realtime.agent.outbox import Record
from dashboard_realtime.agent.reporter import Reporter

logger = logging.getLogger("dashboard_realtime.agent")

CRASHED = "The agent's process ended without closing the task."


def content(reporter: Reporter, findings: Findings) -> Content:
    tasks = [
        {"key": each.key, "protocolId": each.protocol_id, "name": each.name, "terminal": each.terminal}
        for each in reporter.records()
    ]
    waiting = [{"key": each.key, "protocolId": each.protocol_id, "body": each.body} for each in findings.waiting()]
    return {"tasks": tasks, "findings": waiting}


def recover(left: Content, reporter: Reporter, findings: Findings) -> None:
    """Report open tasks as FAILED, and send again what was closed or filed, under the same Idempotency-Keys.

    If a task's end was delivered but not noted before the crash, the server refuses another end under the same key.
    """
    for each in left.get("tasks", ()):
        terminal: dict[str, Any] = each["terminal"] or reports.failed(CRASHED, "AGENT_CRASHED")
        logger.warning("agent.task_recovered", extra={"task": each["name"], "status": terminal["status"]})
        reporter.recover(Record(each["protocolId"], each["name"], each["key"]), terminal)
    for each in left.get("findings", ()):
        logger.warning("agent.finding_recovered", extra={"title": each["body"].get("title")})
        findings.file(Finding(each["protocolId"], each["body"], each["key"]))
