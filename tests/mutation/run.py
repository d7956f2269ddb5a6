"""Applies mutants to a copy of the tree, one at a time, and runs the tests that should fail.

Own code in place of mutmut and cosmic-ray: mutmut 3.8 runs the tests in its own process, which does not work with real
servers in fixtures; cosmic-ray 8.7 runs the whole test command for each mutant without using coverage, which takes
minutes instead of seconds here. Neither mutates Lua.
"""

import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.mutation import lua_mutants, python_mutants
from tests.mutation.mutant import Mutant
from tests.mutation.targets import DESELECTED, Target

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("app", "tests", "tasks", "docs", "deploy", "pyproject.toml", "wsgi.py", "celery_worker.py", "README.md")
OPTIONS = ("-q", "-x", "--no-header", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
# Libraries of the app and the tests, imported once before forking.
PRELOADED = (
    "flask_smorest",
    "flask_sqlalchemy",
    "flask_migrate",
    "flask_socketio",
    "celery",
    "redis",
    "jwt",
    "requests",
    "jsonschema",
    "psycopg",
    "cryptography.hazmat.primitives.asymmetric.rsa",
    "openapi_schema_validator",
)
KILLER = "killer.txt"
Log = Callable[[str], None]
SLACK_SECONDS = 30.0
TIMES_SLOWER = 4.0


@dataclass
class Result:
    """`verdict` is `killed`, `timeout` (counts as killed), `survived`, or `uncovered` (no test reaches it)."""

    mutant: Mutant
    verdict: str
    seconds: float


def run(target: Target, module: str | None, sample: int | None, seed: int, log: Log) -> tuple[int, list[str]]:
    """The number of mutants and a line for each survivor. Raises RuntimeError if a test fails without a mutant."""
    chosen = sample_of(_mutants(target, module), sample, seed)
    results = []
    for name in PRELOADED:
        importlib.import_module(name)
    with _copy_of_tree() as tree:
        record = _baseline(tree, target)
        log(f"{len(record)} tests pass in {sum(each['seconds'] for each in record.values()):.0f} s")
        for number, mutant in enumerate(chosen, start=1):
            result = _try(tree, mutant, record)
            results.append(result)
            _remember_killer(tree, record)
            log(f"[{number}/{len(chosen)}] {result.verdict:9} {result.seconds:5.1f} s  {mutant.name}")
    survivors = [f"{each.verdict}: {each.mutant.name}" for each in results if each.verdict in ("survived", "uncovered")]
    return len(results), survivors


def sample_of(mutants: list[Mutant], sample: int | None, seed: int) -> list[Mutant]:
    """A sample that depends on the seed only, in the order of the lines."""
    if sample is None or sample >= len(mutants):
        return mutants
    chosen = set(random.Random(seed).sample(range(len(mutants)), sample))
    return [mutant for place, mutant in enumerate(mutants) if place in chosen]


def _mutants(target: Target, module: str | None) -> list[Mutant]:
    make = lua_mutants.mutants_of if target.ending == ".lua" else python_mutants.mutants_of
    found: list[Mutant] = []
    for path in sorted((ROOT / target.folder).glob(f"*{target.ending}")):
        if module in (None, path.stem) and path.name not in target.skipped:
            found += make(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
    return found


@contextmanager
def _copy_of_tree() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        for name in COPIED:
            source = ROOT / name
            ignored = shutil.ignore_patterns("__pycache__", "node_modules")
            if source.is_dir():
                shutil.copytree(source, Path(folder) / name, ignore=ignored)
            else:
                shutil.copy(source, folder)
        yield Path(folder)


def _baseline(tree: Path, target: Target) -> dict[str, Any]:
    record = tree / "record.json"
    lines = {"LINE_RECORD": str(record), "LINE_FOLDER": target.folder}
    argv = [
        sys.executable,
        "-m",
        "pytest",
        *OPTIONS,
        "-p",
        "tests.mutation.line_record",
        "-k",
        DESELECTED,
        *target.tests,
    ]
    done = subprocess.run(argv, cwd=tree, env=_environment(tree) | lines, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the tests fail without a mutant:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    return found


def _environment(tree: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}


def _try(tree: Path, mutant: Mutant, record: dict[str, Any]) -> Result:
    tests = _tests_for(mutant, record)
    if not tests:
        return Result(mutant, "uncovered", 0.0)
    path, began = tree / mutant.path, time.monotonic()
    original = path.read_text(encoding="utf-8")
    path.write_text(mutant.source, encoding="utf-8")
    seconds = SLACK_SECONDS + TIMES_SLOWER * sum(record[test]["seconds"] for test in tests)
    try:
        verdict = _verdict(tree, tests, seconds)
    finally:
        path.write_text(original, encoding="utf-8")
    return Result(mutant, verdict, time.monotonic() - began)


def _tests_for(mutant: Mutant, record: dict[str, Any]) -> list[str]:
    """The tests that reach the line; if it runs at import, of the file, or all. Likely killers first."""
    if mutant.path.endswith(".lua"):
        return sorted(record, key=lambda test: _rank(record[test]))
    reaching = {test for test, each in record.items() if mutant.line in each["lines"].get(mutant.path, ())}
    reaching = reaching or {test for test, each in record.items() if mutant.path in each["lines"]} or set(record)
    return sorted(reaching, key=lambda test: _rank(record[test]))


def _rank(test: dict[str, Any]) -> tuple[float, float]:
    """Sorts tests that killed other mutants first, then quick ones before slow ones."""
    return -test.get("kills", 0) / test["seconds"], test["seconds"]


def _remember_killer(tree: Path, record: dict[str, Any]) -> None:
    killer = tree / KILLER
    if killer.exists():
        test = record.get(killer.read_text(encoding="utf-8"))
        if test:
            test["kills"] = test.get("kills", 0) + 1
        killer.unlink()


def _verdict(tree: Path, tests: list[str], seconds: float) -> str:
    """Runs the tests in a fork, which has the libraries loaded: half the time of a new process."""
    child = os.fork()
    if child == 0:
        _run_tests(tree, tests)
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


class _FirstFailure:
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            Path(KILLER).write_text(report.nodeid, encoding="utf-8")


def _run_tests(tree: Path, tests: list[str]) -> NoReturn:
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(silence, descriptor)
    os.setsid()
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    for name in [each for each in sys.modules if each.split(".")[0] in ("tests", "app", "tasks")]:
        del sys.modules[name]
    os.environ.update(_environment(tree))
    status = int(pytest.ExitCode.USAGE_ERROR)
    try:
        status = int(pytest.main([*OPTIONS, *tests], plugins=[_FirstFailure()]))
    finally:
        os._exit(status)


def _stop(child: int) -> None:
    """Interrupts the run, so that pytest stops its servers, and kills it after ten seconds."""
    os.killpg(child, signal.SIGINT)
    for _ in range(200):
        if os.waitpid(child, os.WNOHANG)[0]:
            return
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
