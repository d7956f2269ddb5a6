"""Clocks of the parts that differ by an hour change nothing, and are told."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.commands import run_doctor
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.support.processes import until
from tests.support.stack import Stack, StackMaker
from tests.support.wire import most_in_a_window

SHIM = Path(__file__).parents[1] / "support" / "clockshim.c"
COMPILER = shutil.which("cc") or shutil.which("gcc")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(COMPILER is None, reason="moving a real process's clock takes a C compiler"),
]


@pytest.fixture
def clocks(make_stack: StackMaker, tmp_path: Path) -> tuple[Stack, Callable[..., None]]:
    """A system and `set_clocks(worker=3600)`: seconds by which a kind of part is ahead of the machine."""
    library, offsets = tmp_path / "clockshim.so", tmp_path / "clocks"
    subprocess.run([str(COMPILER), "-shared", "-fPIC", "-O2", "-o", library, SHIM, "-ldl"], check=True)
    offsets.mkdir()

    def set_clocks(**seconds: float) -> None:
        for part, ahead in seconds.items():
            (offsets / part).write_text(str(ahead))

    set_clocks(worker=3600, beat=-1800)
    return make_stack(LD_PRELOAD=str(library), CLOCK_DIR=str(offsets)), set_clocks


def test_clocks_an_hour_apart_change_nothing_and_doctor_names_them(clocks, js):
    stack, set_clocks = clocks
    protocol_id, agent_id = make_protocol(stack.api), make_agent(stack.api)
    deposit(stack.api, protocol_id, "1000")
    watcher = stack.watch(js, protocol_id)

    def is_told(progress: int) -> bool:
        return any(each.data["progress"] == str(progress) for each in watcher.events("agent:task_update"))

    steps = [{"worker": 3600, "beat": -1800}, {"worker": -3600, "beat": 3600}, {"valkey": -40}, {"valkey": 3600}]
    for progress, step in enumerate(steps, start=1):
        set_clocks(**step)
        path = f"/agents/{agent_id}/progress"
        stack.api.agent(agent_id).post(path, report(protocol_id, "scan", progress)).expect(202)
        for _ in range(15):
            deposit(stack.api, protocol_id, "1")
        until(lambda progress=progress: is_told(progress), 20, f"the report is told of after {step}")
        _pay(stack, protocol_id)

    assert most_in_a_window([event.at for event in watcher.events()]) <= 10
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
