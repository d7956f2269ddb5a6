"""With 500 agents, 2,000 vulnerabilities and ten events a second the main thread of the page is not blocked."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from playwright.sync_api import CDPSession

from tests.browser.conftest import Open
from tests.factories import file_vulnerability, make_agent, make_protocol, report
from tests.support.machine_speed import patience
from tests.support.processes import until
from tests.support.stack import Stack

pytestmark = pytest.mark.alone

AGENTS = 500
CALLERS = 2
FINDINGS = 1000  # as many as `/state` holds; as many again follow
WATCHED_SECONDS = 8.0
MAX_MS = 200
MAX_ROWS = 60
MIN_SHOWN_UPDATES = 40


@pytest.fixture(scope="module")
def busy_protocol(stack: Stack) -> tuple[str, list[str]]:
    api = stack.api
    protocol_id = make_protocol(api, name="Crowded")
    agents = [make_agent(api, name=f"Agent {number}") for number in range(AGENTS)]
    file_vulnerabilities(stack, protocol_id)
    return protocol_id, agents


def file_vulnerabilities(stack: Stack, protocol_id: str) -> None:
    """By two callers: one would leave a core idle."""
    severities = ["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"]

    def file(first: int) -> None:
        api = stack.api
        for number in range(first, FINDINGS, CALLERS):
            file_vulnerability(api, protocol_id, title=f"Finding {number}", severity=severities[number % 5])

    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(file, range(CALLERS)))


def report_for_all(stack: Stack, protocol_id: str, agents: list[str], progress: int) -> None:
    updates = [{"agentId": each} | report(protocol_id, progress=progress) for each in agents]
    assert stack.api.admin.post("/progress", {"updates": updates}).expect(202)["rejected"] == []


class Trace:
    """A trace of the renderers' main threads by their CPU clock, since load stretches wall time."""

    def __init__(self, session: CDPSession) -> None:
        self.session = session
        self.events: list[dict[str, Any]] = []
        self.is_complete = False
        session.on("Tracing.dataCollected", lambda data: self.events.extend(data["value"]))
        session.on("Tracing.tracingComplete", lambda _: setattr(self, "is_complete", True))
        categories = {"includedCategories": ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"]}
        session.send("Tracing.start", {"traceConfig": categories, "transferMode": "ReportEvents"})

    def tasks_ms(self) -> list[float]:
        """The CPU time of each task of the main threads, longest first."""
        main = {
            (event["pid"], event["tid"])
            for event in self.events
            if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
        }
        tasks = [
            event.get("tdur", event.get("dur", 0)) / 1000
            for event in self.events
            if event["name"] in ("RunTask", "ThreadControllerImpl::RunTask")
            and (event["pid"], event["tid"]) in main
            and event["ph"] == "X"
        ]
        return sorted(tasks, reverse=True)


@pytest.mark.slow
def test_only_visible_rows_are_rendered(stack: Stack, busy_protocol: tuple[str, list[str]], visit: Open) -> None:
    protocol_id, agents = busy_protocol
    report_for_all(stack, protocol_id, agents, 50)
    page = visit(stack, "viewer", protocol_id)
    page.see("#findings", f"All statuses ({FINDINGS:,})")
    page.page.evaluate("document.querySelector('.finding-scroll').scrollTo(0, 1e9)")
    page.see(".finding-title", "Finding 0")
    assert page.page.locator("[data-finding]").count() < MAX_ROWS
    assert page.page.locator("[data-agent]").count() < MAX_ROWS
    page.page.fill("[type=search]", "Finding 77")
    page.see(".finding-title", "Finding 779")
    page.page.select_option("[aria-label=Severity]", "CRITICAL")
    page.see("#findings [role=table][aria-rowcount='3']", "Finding 770")


@pytest.mark.slow
def test_no_task_of_the_page_takes_longer_than_200_ms(
    stack: Stack, busy_protocol: tuple[str, list[str]], visit: Open
) -> None:
    protocol_id, agents = busy_protocol
    file_vulnerabilities(stack, protocol_id)
    report_for_all(stack, protocol_id, agents, 1)
    page = visit(stack, "validator", protocol_id)
    page.see("#findings", f"All statuses ({2 * FINDINGS:,})")
    page.see("#agents", f"All {AGENTS}")

    def shows_progress() -> bool:
        report_for_all(stack, protocol_id, agents, 2)
        return bool(page.page.evaluate("dashboard.feed.items.some((each) => each.isProgress)"))

    until(
        shows_progress,
        patience(60),
        "the events of the filings have left the queue before the agents' updates",
        pause=1,
    )
    trace = Trace(page.page.context.browser.new_browser_cdp_session())
    seq = int(page.page.evaluate("dashboard.room.state.seq"))
    scroll = "(part) => document.querySelector(part).scrollBy(0, 700)"
    end = time.monotonic() + WATCHED_SECONDS
    step = 2
    while time.monotonic() < end:
        report_for_all(stack, protocol_id, agents, step)
        step += 1
        for part in (".finding-scroll", ".agents-scroll"):
            page.page.evaluate(scroll, part)
        page.page.wait_for_timeout(250)
    trace.session.send("Tracing.end")
    until(lambda: page.page.wait_for_timeout(50) or trace.is_complete, 30, "the trace is complete")
    tasks = trace.tasks_ms()
    shown = page.page.evaluate("dashboard.feed.items.length")
    print(json.dumps({"tasks": len(tasks), "longestMs": tasks[:5], "shown": shown, "from": seq}))
    assert len(tasks) > 100, "the trace holds the page's tasks"
    assert tasks[0] < MAX_MS
    assert shown >= MIN_SHOWN_UPDATES
    assert page.problems == []
