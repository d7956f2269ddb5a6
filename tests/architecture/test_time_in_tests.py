"""Tests do not depend on the load of the machine: durations are scaled by support/machine_speed.py."""

import re

from tests.support.project_files import ROOT, project_files

DURATION = re.compile(r"assert [^\n]*(?:monotonic|perf_counter)\(\) - \w+ <[^\n]*")
SLEEP = re.compile(r"time\.sleep\(([\d.]+)\)")
LONG_SECONDS = 2.5
TESTS = {
    path.name: path.read_text(encoding="utf-8")
    for path in project_files(ROOT / "tests", "test_*.py")
    if path.parent.name != "containers" and path.name != "test_time_in_tests.py"
}


def found(pattern: re.Pattern[str]) -> list[tuple[str, re.Match[str]]]:
    return [(name, match) for name, text in TESTS.items() for match in pattern.finditer(text)]


def test_every_asserted_duration_is_scaled_by_slowdown() -> None:
    durations = found(DURATION)

    assert len(durations) > 10
    assert [(name, match[0]) for name, match in durations if "slowdown()" not in match[0]] == []


def test_hypothesis_deadlines_and_seeds_come_from_the_shared_profile() -> None:
    assert found(re.compile(r"\b(?:deadline|derandomize)=|hypothesis\.seed")) == []


def test_no_test_sleeps_long_instead_of_awaiting_a_condition() -> None:
    long = {name for name, match in found(SLEEP) if float(match[1]) >= LONG_SECONDS}

    # The soak's caches fill, a request must be slow for an alert to fire, and a child process must stay alive.
    assert long <= {"test_soak.py", "test_metrics_alerts.py", "test_full_disk.py"}
