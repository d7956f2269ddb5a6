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
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from tests.mutation import lua_mutants, python_mutants
from tests.mutation.mutant import Mutant
from tests.mutation.targets import DESELECTED, Target
from tests.mutation.verdicts import Record, await_verdict, likely_killers, remember_killer, time_limit, write_killer

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
Log = Callable[[str], None]


@dataclass
class Result:
    """`verdict` is `killed`, `timeout` (counts as killed), `survived`, or `uncovered` (no test reaches it)."""

    mutant: Mutant
    verdict: str
    seconds: float

    @property
    def line(self) -> str:
        return f"{self.verdict:9} {self.seconds:5.1f} s  {self.mutant.name}"


def run(target: Target, module: str | None, sample: int | None, seed: int, log: Log) -> tuple[int, list[str]]:
    """The number of mutants and a line for each survivor. Raises RuntimeError if a test fails without a mutant."""
    chosen = sample_of(_mutants(target, module), sample, seed)
    for name in PRELOADED:
        importlib.import_module(name)
    with _copy_of_tree() as tree:
        record, results = _baseline(tree, target, chosen, log)
        log(f"{len(record)} tests pass in {sum(each['seconds'] for each in record.values()):.0f} s")
        for number, mutant in enumerate(chosen):
            if number not in results:
                results[number] = _try(tree, mutant, record)
                remember_killer(record, tree)
                log(results[number].line)
    found = [results[number] for number in range(len(chosen))]
    survivors = [f"{each.verdict}: {each.mutant.name}" for each in found if each.verdict in ("survived", "uncovered")]
    return len(found), survivors


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


def _baseline(tree: Path, target: Target, mutants: list[Mutant], log: Log) -> tuple[Record, dict[int, Result]]:
    """Runs the tests without a mutant, then with each mutant that a fork can try."""
    record, listed = tree / "record.json", tree / "mutants.json"
    listed.write_text(json.dumps([asdict(mutant) for mutant in mutants]), encoding="utf-8")
    verdicts, write_end = os.pipe()
    about = {"LINE_RECORD": record, "LINE_FOLDER": target.folder, "MUTANTS": listed, "VERDICTS_FD": write_end}
    environment = _environment(tree) | {name: str(value) for name, value in about.items()}
    argv = [
        sys.executable,
        "-m",
        "pytest",
        *OPTIONS,
        "--maxfail=1000",
        "-p",
        "tests.mutation.fork",
        "-k",
        DESELECTED,
        *target.tests,
    ]
    results = {}
    with (tree / "output.txt").open("w+", encoding="utf-8") as output:
        running = subprocess.Popen(
            argv, cwd=tree, env=environment, pass_fds=[write_end], stdout=output, stderr=subprocess.STDOUT
        )
        os.close(write_end)
        with os.fdopen(verdicts) as lines:
            for number, *members in map(json.loads, lines):
                if number == "left out":
                    log(f"left out, because it fails without a mutant: {members[0]}")
                    continue
                results[number] = Result(mutants[number], *members)
                log(results[number].line)
        if running.wait():
            output.seek(0)
            raise RuntimeError(f"the tests fail without a mutant:\n{output.read()[-6000:]}")
    return json.loads(record.read_text(encoding="utf-8")), results


def _environment(tree: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}


def _try(tree: Path, mutant: Mutant, record: Record) -> Result:
    tests = likely_killers(mutant, record)
    if not tests:
        return Result(mutant, "uncovered", 0.0)
    path, began = tree / mutant.path, time.monotonic()
    original = path.read_text(encoding="utf-8")
    path.write_text(mutant.source, encoding="utf-8")
    try:
        child = os.fork()  # has the libraries loaded: half the time of a new process
        if child == 0:
            _run_tests(tree, tests)
        verdict = await_verdict(child, time_limit(tests, record))
    finally:
        path.write_text(original, encoding="utf-8")
    return Result(mutant, verdict, time.monotonic() - began)


class _FirstFailure:
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            write_killer(report.nodeid)


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
