"""The example agents without a package on a network that loses requests and answers: no task is skipped or fails."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.factories import make_agent
from tests.support.machine_speed import patience
from tests.support.node import ROOT
from tests.support.stack import Stack
from tests.support.unreliable_proxy import BAD_GATEWAY, BUSY, LOSE_ANSWER, LOSE_REQUEST, PASS, UnreliableProxy

AGENTS = ROOT / "docs" / "examples" / "agent"
TASK = "Fuzzing of Pool.sol"
RUNNING_REPORTS = {"agent_without_package.py": 10, "agent.sh": 4}

pytestmark = [pytest.mark.slow]


@pytest.fixture(params=RUNNING_REPORTS)
def run(request: pytest.FixtureRequest, stack: Stack, agent_id: str, protocol_id: str) -> Callable[..., int]:
    """Run the agent against this address; returns its exit code. `reports` is how many RUNNING reports it makes."""

    def run_agent(url: str) -> int:
        interpreter = sys.executable if request.param.endswith(".py") else "sh"
        token = stack.api.token("agent", sub=agent_id, protocols=[protocol_id])
        environment = os.environ | {"DASHBOARD_URL": url, "DASHBOARD_TOKEN": token}
        command = [interpreter, AGENTS / request.param, agent_id, protocol_id, TASK]
        return subprocess.run(command, env=environment, timeout=patience(120)).returncode

    run_agent.reports = RUNNING_REPORTS[request.param]
    return run_agent


@pytest.fixture
def agent_id(stack: Stack, protocol_id: str) -> str:
    """An agent with two queued tasks."""
    made = make_agent(stack.api)
    for name in ("second", "third"):
        stack.api.admin.post(f"/agents/{made}/tasks", {"protocolId": protocol_id, "name": name}).expect(201)
    return made


def statuses(stack: Stack, agent_id: str) -> dict[str, str]:
    tasks = stack.api.admin.get(f"/agents/{agent_id}/tasks").expect(200)["items"]
    return {task["name"]: task["status"] for task in tasks}


def test_a_completed_report_whose_responses_are_lost_closes_one_task(run, stack: Stack, agent_id: str) -> None:
    faults = [PASS] * run.reports + [LOSE_ANSWER, LOSE_ANSWER]
    with UnreliableProxy(stack.url, faults) as proxy:
        assert run(proxy.url) == 0

    keys = proxy.keys_of(b"COMPLETED")
    assert len(keys) == 3
    assert len(set(keys) - {None}) == 1
    assert statuses(stack, agent_id) == {TASK: "COMPLETED", "second": "RUNNING", "third": "QUEUED"}


def test_lost_requests_and_transient_rejections_fail_no_task(run, stack: Stack, agent_id: str) -> None:
    faults = [LOSE_REQUEST, BAD_GATEWAY, PASS, BUSY, *[LOSE_REQUEST] * (run.reports + 5)]
    with UnreliableProxy(stack.url, faults) as proxy:
        assert run(proxy.url) == 0

    assert proxy.keys_of(b"FAILED") == []
    assert statuses(stack, agent_id)[TASK] == "COMPLETED"
    by_body = {body: {key for key, each in proxy.requests if each == body} for _, body in proxy.requests}
    assert [keys for keys in by_body.values() if len(keys) != 1] == [], "each report keeps its key"
