"""Runs the unit tests of the JavaScript package and of the page's model in Node."""

import re
import subprocess
from pathlib import Path

from tests.support.node import ROOT, node_binary
from tests.support.processes import until

TESTS = (ROOT / "clients" / "js" / "test", Path(__file__).parent / "node")
FAILED = re.compile(r"^ *not ok .*?^ *\.\.\.$", re.MULTILINE | re.DOTALL)


def test_the_unit_tests_of_the_package_and_of_the_page_pass(tmp_path: Path) -> None:
    files = [str(path) for folder in TESTS for path in sorted(folder.glob("*.test.mjs"))]
    report = tmp_path / "report.tap"
    with (
        report.open("wb") as output,
        subprocess.Popen(
            [node_binary(), "--test", "--test-reporter=tap", *files], stdout=output, stderr=subprocess.STDOUT
        ) as node,
    ):
        try:
            until(lambda: node.poll() is not None, 90, "Node has run the tests")
        finally:
            node.kill()
    told = report.read_text(encoding="utf-8")
    assert node.returncode == 0, "\n".join(FAILED.findall(told)) or told[-6000:]
    assert "# fail 0" in told
    assert "# pass 0" not in told
