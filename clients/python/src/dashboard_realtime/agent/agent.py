"""`Agent` and `AsyncAgent`: report tasks and file findings without ever delaying or breaking the agent's own work."""

import asyncio
import atexit
import logging
import os
import time
import weakref
from decimal import Decimal
from typing import Any

from dashboard_realtime.addresses import base_url
from dashboard_realtime.agent import recovery, reports
from dashboard_realtime.agent.findings import Finding, Findings
from dashboard_realtime.agent.journal import Journal
from dashboard_realtime.agent.lane import Counters
from dashboard_realtime.agent.reporter import Reporter
from dashboard_realtime.agent.sender import Sender
from dashboard_realtime.agent.task import Task
from dashboard_realtime.errors import NotAccepted
from dashboard_realtime.tokens import Token

logger = logging.getLogger("dashboard_realtime.agent")

CLOSE_SECONDS = 10.0
POLL_SECONDS = 0.05


class BaseAgent:
    """`token` is the agent's token, or a function (also an async one) that returns the current one.

    `agent_id` is by default the token's `sub`; `protocol_id` is that of tasks and findings that name none. `journal` is
    the path of a small file: a task that was open when the process died is reported FAILED when the next process opens
    it, and updates and findings that were not delivered are sent then. At most `max_tasks` tasks and `max_findings`
    findings wait for the server; what exceeds that is dropped, counted (`dropped`) and logged. `close_timeout` is how
    long the end of the agent waits for the delivery of what is left. `http`: further arguments for httpx.Client.
    """

    def __init__(
        self,
        url: str,
        token: Token,
        *,
        agent_id: str | None = None,
        protocol_id: str | None = None,
        journal: "str | os.PathLike[str] | None" = None,
        max_tasks: int = 10_000,
        max_findings: int = 1_000,
        close_timeout: float = CLOSE_SECONDS,
        http: dict[str, Any] | None = None,
    ) -> None:
        self._url, self._protocol_id, self._close_timeout = base_url(url), protocol_id, close_timeout
        self.counters = Counters()
        self._sender = Sender(self._url, token, agent_id, http or {})
        self.reporter = Reporter(self._sender, self.counters, max_tasks=max_tasks, on_tasks_changed=self._touch)
        self._findings = Findings(self._sender, self.counters, max_waiting=max_findings, on_changed=self._touch)
        self._journal: Journal | None = None
        self._is_closed = False
        if journal is not None:
            self._journal = Journal(journal, lambda: recovery.lines(self.reporter, self._findings))
            recovery.recover(self._journal.read(), self.reporter, self._findings)
            self._journal.start()
        self.reporter.start()
        self._findings.start()
        atexit.register(self.close)
        _agents.add(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self._url}: {self.counters}>"

    @property
    def dropped(self) -> int:
        """How many reports, tasks and findings were never sent."""
        return self.counters.dropped

    @property
    def refused(self) -> int:
        """How many reports and findings the server refused for good."""
        return self.counters.refused

    @property
    def undelivered(self) -> list[str]:
        """The ends of tasks and the findings that the server has not accepted or refused yet."""
        ends = [f"{each.name}: {(each.terminal or {}).get('status')}" for each in self.reporter.undelivered()]
        return ends + [f"finding: {each.body.get('title')}" for each in self._findings.waiting()]

    def task(self, name: str, *, protocol_id: str | None = None, next_task: str | None = None) -> Task:
        """Begin a task; use it in a `with` block. Raises ValueError if neither this nor the agent names a protocol."""
        record = self.reporter.open(self._protocol_of(protocol_id), name)
        self.reporter.report(record, reports.running(0))
        return Task(self, record, next_task)

    def file(
        self,
        title: str,
        severity: str,
        *,
        protocol_id: str | None = None,
        bounty: "str | int | Decimal | None" = None,
        description: str | None = None,
        agent_id: str | None = None,
    ) -> Finding:
        """File a finding; returns at once. `result(timeout)` of the returned object waits for the vulnerability.

        `bounty` is an exact amount, never a float. Raises ValueError if neither this nor the agent names a protocol.
        """
        body = {"title": title, "severity": str(severity), "description": description, "agentId": agent_id}
        body["bounty"] = None if bounty is None else str(bounty)
        given = {key: each for key, each in body.items() if each is not None}
        finding = self._findings.new(self._protocol_of(protocol_id), given)
        if isinstance(bounty, float):
            self._findings.refuse(finding, NotAccepted(f"the bounty {bounty!r} is a float: pass a string or a Decimal"))
        else:
            self._findings.file(finding)
        return finding

    def close(self, timeout: float | None = None) -> list[str]:
        """Deliver what is left, for at most `timeout` seconds; returns (and logs) what was not delivered.

        Tasks that are still open are reported FAILED. With a journal, what is left is sent by the next process.
        """
        if self._is_closed:
            return self.undelivered
        self._is_closed = True
        atexit.unregister(self.close)
        for record in self.reporter.records():
            self.reporter.close_task(record, reports.failed("The agent ended before its task.", "AGENT_CLOSED"))
        self.reporter.hurry()
        self._findings.hurry()
        deadline = time.monotonic() + (self._close_timeout if timeout is None else timeout)
        while self.undelivered and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return self._stop()

    def _stop(self) -> list[str]:
        left = self.undelivered
        if self._journal is not None:
            self._journal.close()
        self.reporter.stop()
        self._findings.stop()
        if left:
            logger.error(
                "agent.closed_with_undelivered",
                extra={"undelivered": left[:20], "count": len(left), "is_kept": self._journal is not None},
            )
        else:
            self._sender.close()
        return left

    def _protocol_of(self, protocol_id: str | None) -> str:
        found = protocol_id or self._protocol_id
        if not found:
            raise ValueError("Pass `protocol_id`, here or to the agent.")
        return found

    def _touch(self) -> None:
        if self._journal is not None:
            self._journal.touch()

    def after_fork(self) -> None:
        """In a fork: what the parent was told is the parent's to deliver; the fork may report for itself."""
        self.reporter.after_fork()
        self._findings.after_fork()
        if self._journal is not None:
            self._journal.after_fork()


class Agent(BaseAgent):
    """An agent that reports its tasks.

    with Agent(url, token, protocol_id="P1") as agent:
        with agent.task("Scan Vault.sol") as task:
            task.progress(40, eta=90)
            agent.file("Reentrancy in withdraw()", "CRITICAL", bounty="100.00")
    """

    __doc__ += BaseAgent.__doc__ or ""

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncAgent(BaseAgent):
    """As `Agent`, for `async with`; `await agent.file(…)` waits for the filed vulnerability."""

    async def __aenter__(self) -> "AsyncAgent":
        self._sender.use_loop(asyncio.get_running_loop())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self, timeout: float | None = None) -> list[str]:
        """As `close`, without blocking the event loop."""
        return await asyncio.to_thread(self.close, timeout)


_agents: "weakref.WeakSet[BaseAgent]" = weakref.WeakSet()


def _after_fork() -> None:
    for agent in [*_agents]:
        agent.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
