"""Clocks that differ by an hour between processes change no behaviour and are reported."""

import pytest

from tests.cli.commands import run_doctor
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.support.clock_shim import Clocks
from tests.support.event_checks import most_in_a_window
from tests.support.machine_speed import slowdown
from tests.support.processes import until
from tests.support.stack import Stack, StackMaker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not Clocks.is_available(), reason="moving a real process's clock requires a C compiler"),
]


def test_clocks_an_hour_apart_change_nothing_and_doctor_reports_them(make_stack: StackMaker, tmp_path, js):
    clocks = Clocks(tmp_path)
    clocks.step(worker=3600, beat=-1800)
    stack = make_stack(**clocks.environment)
    protocol_id, agent_id = make_protocol(stack.api), make_agent(stack.api)
    deposit(stack.api, protocol_id, "1000")
    watcher = stack.watch(js, protocol_id)

    def has_arrived(progress: int) -> bool:
        return any(each.data["progress"] == str(progress) for each in watcher.events("agent:task_update"))

    steps = [{"worker": 3600, "beat": -1800}, {"worker": -3600, "beat": 3600}, {"redis": -40}, {"redis": 3600}]
    for progress, step in enumerate(steps, start=1):
        clocks.step(**step)
        path = f"/agents/{agent_id}/progress"
        stack.api.agent(agent_id).post(path, report(protocol_id, "scan", progress)).expect(202)
        for _ in range(15):
            deposit(stack.api, protocol_id, "1")
        until(lambda progress=progress: has_arrived(progress), 20, f"the report arrives after {step}")
        _pay(stack, protocol_id)

    # By the client's clock: on a busy machine it receives late what was sent in time.
    assert most_in_a_window([event.at for event in watcher.events()], 1 / slowdown()) <= 10
    assert "Discarding" not in stack.log
    doctor = run_doctor(stack.environment | {"LD_PRELOAD": ""})
    assert "FAIL clocks" in doctor.stdout
    assert "behind" in doctor.stdout


def _pay(stack: Stack, protocol_id: str) -> None:
    finding = file_vulnerability(stack.api, protocol_id, bounty="1")
    stack.api.validator.post(f"/vulnerabilities/{finding['id']}/confirm", {}).expect(200)
    payment = stack.api.owner.post(f"/vulnerabilities/{finding['id']}/payment", {"recipient": "0xabc"}).expect(202)

    def is_released() -> bool:
        return stack.api.owner.get(f"/payments/{payment['id']}").expect(200)["status"] == "RELEASED"

    until(is_released, 20, "the payment is released")
