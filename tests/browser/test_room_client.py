"""Runs the unit tests of the JavaScript package and of the page's model in Node."""

import subprocess
from pathlib import Path

from tests.support.machine_speed import patience
from tests.support.node import ROOT, node_binary

TESTS = (ROOT / "clients" / "js" / "test", Path(__file__).parent / "node")


def test_the_unit_tests_of_the_package_and_of_the_page_pass() -> None:
    files = [str(path) for folder in TESTS for path in sorted(folder.glob("*.test.mjs"))]
    command = [node_binary(), "--test", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patience(90))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "# fail 0" in done.stdout
    assert "# pass 0" not in done.stdout
