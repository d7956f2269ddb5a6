"""How the tests of one mutant are chosen and how long they may take."""

import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.mutation.mutant import Mutant

Record = dict[str, Any]
"""For each test its `seconds`, the `lines` of each file that it reached, and how many mutants it killed."""

KILLER = Path("killer.txt")
SLACK_SECONDS = 30.0
TIMES_SLOWER = 10.0  # other work may have begun since the tests were timed


def likely_killers(mutant: Mutant, record: Record) -> list[str]:
    """The tests that reach the line; if it runs at import, of the file, or all. Likely killers first."""
    if mutant.path.endswith(".lua"):
        return sorted(record, key=lambda test: _rank(record[test]))
    lines = _lines(mutant)
    reaching = {test for test, each in record.items() if lines.intersection(each["lines"].get(mutant.path, ()))}
    reaching = reaching or {test for test, each in record.items() if mutant.path in each["lines"]} or set(record)
    return sorted(reaching, key=lambda test: _rank(record[test]))


def _lines(mutant: Mutant) -> set[int]:
    """The mutant's line and, if it defines a constant, those that name it."""
    lines = Path(mutant.path).read_text(encoding="utf-8").splitlines()
    constant = re.match(r"[A-Z_]+(?= = )", lines[mutant.line - 1])
    named = re.compile(rf"\b{constant[0]}\b") if constant else re.compile(r"(?!)")
    return {mutant.line, *(number for number, line in enumerate(lines, start=1) if named.search(line))}


def _rank(test: dict[str, Any]) -> tuple[float, float]:
    """Sorts tests that killed other mutants first, then quick ones before slow ones."""
    return -test.get("kills", 0) / test["seconds"], test["seconds"]


def write_killer(test: str) -> None:
    KILLER.write_text(test, encoding="utf-8")


def remember_killer(record: Record, tree: Path = Path()) -> str | None:
    """The test that killed the last mutant."""
    killer = tree / KILLER
    if not killer.exists():
        return None
    test = killer.read_text(encoding="utf-8")
    killer.unlink()
    if test in record:
        record[test]["kills"] = record[test].get("kills", 0) + 1
    return test


def time_limit(tests: list[str], record: Record) -> float:
    return SLACK_SECONDS + TIMES_SLOWER * sum(record[test]["seconds"] for test in tests)


def await_verdict(child: int, seconds: float) -> str:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            if code in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
                raise RuntimeError(f"pytest did not run the tests: {code}")
            return "killed" if code else "survived"
        time.sleep(0.02)
    _stop(child)
    return "timeout"


def _stop(child: int) -> None:
    """Interrupts the run, so that pytest stops its servers, and kills it after ten seconds."""
    os.killpg(child, signal.SIGINT)
    for _ in range(200):
        if os.waitpid(child, os.WNOHANG)[0]:
            return
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
