"""`dashboard simulate` and `up --demo`: personas act over the public API."""

import signal
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.cli.demo import CRITICAL, REFUSAL, REFUSED_RECIPIENT
from app.cli.simulate import STEP_SECONDS, TARGET_AVAILABLE, Simulation
from app.config import load_config
from tests.factories import unique
from tests.support.machine_speed import patience
from tests.support.processes import until
from tests.support.stack import COMMAND, Stack

STEPS_PER_ROUND = 6


def simulate(stack: Stack, *arguments: str) -> "subprocess.Popen[str]":
    command = [*COMMAND, "simulate", "--url", stack.url, *arguments]
    return subprocess.Popen(
        command, env=stack.environment, cwd=stack.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def state_of(stack: Stack, protocol_id: str) -> dict[str, Any]:
    answer = stack.api.admin.get(f"/protocols/{protocol_id}/state")
    return answer.json if answer.status == 200 else {}


def test_a_simulation_ends_after_its_seconds_with_every_agent_at_work(stack: Stack):
    protocol_id = unique("sim")
    process = simulate(stack, "--protocol", protocol_id, "--agents", "4", "--seconds", "6", "--rate", "2")
    output, _ = process.communicate(timeout=patience(30))
    assert process.returncode == 0, output
    assert "Traceback" not in output
    state = state_of(stack, protocol_id)
    assert len(state["agents"]) == 4
    assert int(state["pool"]["version"]) >= 1, "the owner has deposited"


def test_a_round_of_a_simulation_has_every_kind_of_change(stack: Stack):
    """Three rounds without the pauses between their steps; a watcher may begin at any step."""
    protocol_id = unique("sim")
    simulation = Simulation(load_config(stack.environment), stack.url, protocol_id)
    simulation.set_up(3)
    people, available = simulation.create_people(), []
    done = []
    for _ in range(3 * STEPS_PER_ROUND):
        done.append(people.step())
        available.append(Decimal(state_of(stack, protocol_id)["pool"]["available"]))

    kinds = {"deposit", "finding", "confirmation", "payment", "rejection"}
    assert all(set(done[first : first + STEPS_PER_ROUND]) == kinds for first in range(2 * STEPS_PER_ROUND))
    assert STEPS_PER_ROUND * STEP_SECONDS <= 30
    assert all(0 < each <= TARGET_AVAILABLE for each in available)
    assert len(state_of(stack, protocol_id)["vulnerabilities"]["open"]) <= 1, "payments are under way at most"


def test_a_simulation_stops_when_asked(stack: Stack):
    protocol_id = unique("sim")
    process = simulate(stack, "--protocol", protocol_id, "--agents", "2")
    until(lambda: len(state_of(stack, protocol_id).get("agents", [])) == 2, 20, "both agents are at work")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=patience(8))
    assert process.returncode == 0, output


def test_a_simulation_can_be_run_again_with_the_same_protocol(stack: Stack):
    protocol_id = unique("sim")
    for _ in range(2):
        process = simulate(stack, "--protocol", protocol_id, "--agents", "2", "--seconds", "1")
        assert process.wait(30) == 0, process.stdout.read()
        process.stdout.close()
    assert len(state_of(stack, protocol_id)["agents"]) == 2


class Demo(Stack):
    def start(self) -> "Demo":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = self._run("up", "--demo", "--port", str(self.port))
        self.wait_for_log("ready: ", 60)
        return self


@pytest.mark.slow
def test_the_demo_shows_agents_and_money_and_survives_a_restart_of_web(tmp_path: Path):
    with Demo(tmp_path) as stack:
        until(lambda: len(state_of(stack, "demo").get("agents", [])) >= 3, 20, "agents are at work")
        until(lambda: int(state_of(stack, "demo")["pool"]["version"]) >= 2, 30, "money moves")
        simulating = stack.pid("demo")
        stack.kill("web-1")
        stack.wait_until_open()
        seen = state_of(stack, "demo")
        until(lambda: int(state_of(stack, "demo")["seq"]) > int(seen["seq"]), 20, "events go on")
        assert stack.pid("demo") == simulating
        check_that_each_state_is_shown(stack)


def check_that_each_state_is_shown(stack: Stack) -> None:
    """What a visitor of the demo can look for, as the demo's own roles see it."""
    roles = stack.api.with_token(None).get("//demo/session").json["roles"]
    viewer, owner, admin = (stack.api.with_token(roles[role]) for role in ("viewer", "owner", "admin"))
    named = [each["id"] for each in viewer.get("/protocols").expect(200)["items"]]
    assert sorted(named) == ["demo", "demo-bridge", "demo-vault"]
    assert admin.get("/audit?limit=1").status == 200

    def finding(title: str, status: str) -> dict[str, Any] | None:
        page = viewer.get(f"/protocols/demo/vulnerabilities?status={status}&limit=200").expect(200)
        return next((each for each in page["items"] if each["title"] == title), None)

    def payment(status: str) -> dict[str, Any] | None:
        page = viewer.get("/protocols/demo/payments?limit=50").expect(200)
        return next((each for each in page["items"] if each["status"] == status), None)

    def failing_agent() -> dict[str, Any] | None:
        return viewer.get("/agents/demo-agent-failing").expect(200)["currentTask"]

    critical = until(lambda: finding(CRITICAL, "PENDING"), 30, "a critical finding waits")
    assert (critical["severity"], critical["bounty"]) == ("CRITICAL", None)
    failed = until(lambda: payment("FAILED"), 60, "a payment was refused")
    assert (failed["recipient"], REFUSAL in failed["failureReason"]) == (REFUSED_RECIPIENT, True)
    until(lambda: (task := failing_agent()) and "OutOfGas" in (task["error"] or {}).get("message", ""), 60, "it fails")
    until(lambda: (late := payment("PENDING")) and late["lastError"], 120, "a payment is tried again")

    owner.post(f"/payments/{failed['id']}/retry", {}).expect(202)
    stack.api.validator.post(f"/vulnerabilities/{critical['id']}/reject", {"reason": "seen"}).expect(200)
    again = until(lambda: finding(CRITICAL, "PENDING"), 60, "what a visitor decided is made anew")
    assert again["id"] != critical["id"]
