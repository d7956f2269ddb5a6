"""500 agents report continuously in one room: payments never wait for them, and the longest waiting agent is first."""

import threading
from collections.abc import Callable
from typing import Self

import pytest

from app.realtime.events import EventType
from tests.factories import deposit, file_vulnerability
from tests.support.agent_group import AgentGroup
from tests.support.emissions import Emission
from tests.support.event_checks import moment, most_in_a_window
from tests.support.machine_speed import slowdown
from tests.support.stack import Stack

MANY, FEW, LIMIT = 500, 40, 10
CHANGES = 12
WINDOW_SECONDS = 1.1
MILLISECOND = 0.001  # to which an event's own timestamp is cut off

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class Reporting(threading.Thread):
    """Every agent of the crowd reports, again and again, while the `with` lasts."""

    def __init__(self, crowd: AgentGroup, protocol_id: str) -> None:
        super().__init__(daemon=True)
        self._crowd, self._protocol_id, self._ends = crowd, protocol_id, threading.Event()
        self.rounds = 0

    def run(self) -> None:
        while not self._ends.wait(0.1):
            self._crowd.report(self._protocol_id, self.rounds % 100)
            self.rounds += 1

    def __enter__(self) -> Self:
        self._crowd.report(self._protocol_id, 0)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self.join(30)


@pytest.fixture
def crowd(stack: Stack) -> Callable[[int], AgentGroup]:
    return lambda count: AgentGroup(stack, count)


def is_progress(event: Emission) -> bool:
    return event.members["eventType"] == EventType.AGENT_TASK_UPDATE


def entered(event: Emission) -> float:
    """When a queued event was taken into its room, on Redis's clock."""
    return moment(event.members["timestamp"]).timestamp()


def losses(stack: Stack, protocol_id: str) -> tuple[float, list[str]]:
    return stack.metric("dashboard_events_dropped_total"), stack.log_lines("event.dropped", protocol_id)


def test_money_events_wait_only_for_each_other_while_500_agents_report(stack, protocol_id, crowd) -> None:
    many, before = crowd(MANY), losses(stack, protocol_id)
    findings = [file_vulnerability(stack.api, protocol_id)["id"] for _ in range(CHANGES)]
    with stack.emissions() as emissions, Reporting(many, protocol_id) as reporting:
        emissions.wait_for(protocol_id, 2 * LIMIT, 30)
        for number, finding in enumerate(findings):
            deposit(stack.api, protocol_id, "1")
            stack.api.validator.post(f"/vulnerabilities/{finding}/confirm", {}).expect(200)
            emissions.wait_until(lambda count=2 * number + 2: len(money(emissions.of(protocol_id))) == count, 30)
    events = emissions.of(protocol_id)

    assert reporting.rounds >= CHANGES / 2, "the agents did not report all the time"
    for each in money(events):
        meanwhile = [other for other in events if entered(each) + MILLISECOND < other.at < each.at]
        assert not [other for other in meanwhile if is_progress(other)], each
        assert each.at - entered(each) < WINDOW_SECONDS * (1 + len(meanwhile) / LIMIT) * slowdown()
    assert most_in_a_window([event.at for event in events]) <= LIMIT
    emitted = [event.members["agentId"] for event in events if is_progress(event)]
    assert emitted == many.agents[: len(emitted)], (
        "among equally long waiting agents names decide, and none is emitted twice"
    )
    assert losses(stack, protocol_id) == before


def money(events: list[Emission]) -> list[Emission]:
    """Changes of pool and status; the filings before them are still being told of."""
    kinds = (EventType.AGENT_TASK_UPDATE, EventType.VULN_DISCOVERED)
    return [event for event in events if event.members["eventType"] not in kinds]


def test_every_agent_is_emitted_before_any_other_a_third_time(stack, protocol_id, crowd) -> None:
    """No agent is emitted a third time before another is for the second: the number of agents bounds the wait.

    Not strictly in order: those whose next report came in one request have waited equally long since.
    """
    few, before = crowd(FEW), losses(stack, protocol_id)
    with stack.emissions() as emissions, Reporting(few, protocol_id):
        emissions.wait_for(protocol_id, 4 * FEW, 60)
    emitted = [event.members["agentId"] for event in emissions.of(protocol_id)]

    for first in range(len(emitted) - 2 * FEW + 1):
        assert set(emitted[first : first + 2 * FEW]) == set(few.agents)
    assert losses(stack, protocol_id) == before
