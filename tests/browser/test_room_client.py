"""Runs the unit tests of the reference client in Node."""

import subprocess
from pathlib import Path

from tests.support.machine_speed import patience
from tests.support.node import node_binary

TESTS = Path(__file__).parent / "node"


def test_the_unit_tests_of_the_reference_client_pass() -> None:
    command = [node_binary(), "--test", str(TESTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patience(90))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "# fail 0" in done.stdout
    assert "# pass 0" not in done.stdout
