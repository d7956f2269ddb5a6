"""A pytest plugin that records the lines that each test reaches and then tries mutants in forks of the session.

A fork has the tests collected and the servers running, so that a killed mutant takes a fraction of a second. The fork
exchanges the code of a function or the value of a constant. The plugin writes a line of JSON, `[number, verdict,
seconds]`, for each mutant that it tried, and leaves the others: Lua, and other code that runs at import.
Tests with whole systems are left out, since their processes do not have the mutant; so are tests that fail without one,
which it reports as `["left out", test]`.

    MUTANTS=mutants.json VERDICTS_FD=7 LINE_RECORD=… LINE_FOLDER=… python -m pytest -p tests.mutation.fork …
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation import line_record
from tests.mutation.live_code import Functions, changed_codes, changed_constant, functions_of, set_codes, set_constant
from tests.mutation.mutant import Mutant
from tests.mutation.verdicts import await_verdict, likely_killers, remember_killer, time_limit, write_killer

pytest_runtest_protocol = line_record.pytest_runtest_protocol
pytest_sessionfinish = line_record.pytest_sessionfinish

WHOLE_SYSTEM = {"stack", "make_stack", "make_shared_stack"}
MAX_FAILED = 0.05
_failed: set[str] = set()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if not WHOLE_SYSTEM.intersection(getattr(item, "fixturenames", ()))]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        _failed.add(report.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    for item, following in zip(session.items, [*session.items[1:], session], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)  # the last one leaves the servers
    if len(_failed) > MAX_FAILED * len(session.items):
        raise session.Failed(f"{len(_failed)} tests fail without a mutant")
    for test in sorted(_failed):
        del line_record.record[test]
        _report("left out", test)
    session.testsfailed = 0
    mutants = [Mutant(**each) for each in json.loads(Path(os.environ["MUTANTS"]).read_text(encoding="utf-8"))]
    forks = Forks(session)
    for number, mutant in enumerate(mutants):
        began, verdict = time.monotonic(), forks.verdict_on(mutant)
        if verdict:
            _report(number, verdict, time.monotonic() - began)
    return True


def _report(*members: object) -> None:
    os.write(int(os.environ["VERDICTS_FD"]), f"{json.dumps(members)}\n".encode())


class Forks:
    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self._items = {item.nodeid: item for item in session.items}
        self._record = line_record.record
        self._steady: set[str] = set()  # tests that pass in a fork without a mutant
        self._functions: dict[str, Functions] = {}

    def verdict_on(self, mutant: Mutant) -> str | None:
        """None for a mutant that must be imported. A test that fails in a fork also without a mutant is left out."""
        change = self._change(mutant)
        while change:
            killer, verdict = self._run(likely_killers(mutant, self._record), change)
            if killer is None or killer in self._steady or self._run([killer], lambda: None)[1] == "survived":
                self._steady.add(killer or "")
                return verdict
            del self._record[killer]
        return None

    def _change(self, mutant: Mutant) -> Callable[[], None] | None:
        path = mutant.path
        if not path.endswith(".py"):
            return None
        if constant := changed_constant(mutant, Path(path).read_text(encoding="utf-8")):
            return lambda: set_constant(*constant)
        if path not in self._functions:
            self._functions[path] = functions_of(path)
        codes = changed_codes(mutant, self._functions[path])
        return (lambda: set_codes(codes)) if codes else None

    def _run(self, tests: list[str], change: Callable[[], None]) -> tuple[str | None, str]:
        """The test that failed, and the verdict."""
        child = os.fork()
        if child == 0:
            self._run_in_child([self._items[test] for test in tests], change)
        verdict = await_verdict(child, time_limit(tests, self._record))
        return remember_killer(self._record), verdict

    def _run_in_child(self, tests: list[pytest.Item], change: Callable[[], None]) -> NoReturn:
        os.setsid()
        status = pytest.ExitCode.TESTS_FAILED
        try:
            change()
            for item, following in zip(tests, [*tests[1:], self._session], strict=True):
                if any(report.failed for report in runtestprotocol(item, log=False, nextitem=following)):
                    write_killer(item.nodeid)
                    break
            else:
                status = pytest.ExitCode.OK
        finally:
            os._exit(status)
