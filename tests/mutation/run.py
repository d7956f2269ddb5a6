"""Put mutants into a copy of the tree, one at a time, and see whether a test notices.

Own code in place of mutmut and cosmic-ray: mutmut (3.8) runs the tests within its own process, which neither real
servers in fixtures nor Lua files fit; cosmic-ray (8.7) runs the whole test command for each mutant and knows no
coverage, so a mutant of this project would take minutes instead of seconds. Neither mutates Lua.
"""

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutation import lua_mutants, python_mutants
from tests.mutation.mutant import Mutant
from tests.mutation.targets import DESELECTED, Target

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("app", "tests", "tasks", "docs", "deploy", "pyproject.toml", "wsgi.py", "celery_worker.py", "README.md")
PYTEST = (sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider")
SLACK_SECONDS = 30.0
TIMES_SLOWER = 4.0


@dataclass
class Result:
    """Of one mutant: `killed`, `timeout` (a kind of killed), `survived`, or `uncovered`: no test reaches its line."""

    mutant: Mutant
    verdict: str
    seconds: float


def run(target: Target, module: str | None, sample: int | None, seed: int, tell: Callable[[str], None]) -> list[Result]:
    """Try a sample of the target's mutants, or all. Raises RuntimeError when a test fails without any mutant."""
    chosen = sample_of(_mutants(target, module), sample, seed)
    results = []
    with _copy_of_tree() as tree:
        record = _baseline(tree, target)
        tell(f"{len(record)} tests pass in {sum(each['seconds'] for each in record.values()):.0f} s")
        for number, mutant in enumerate(chosen, start=1):
            result = _try(tree, mutant, record)
            results.append(result)
            tell(f"[{number}/{len(chosen)}] {result.verdict:9} {result.seconds:5.1f} s  {mutant.name}")
    return results


def sample_of(mutants: list[Mutant], sample: int | None, seed: int) -> list[Mutant]:
    """The same mutants for the same seed, in the order of their lines."""
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
    argv = [*PYTEST, "-p", "tests.mutation.line_record", "-k", DESELECTED, *target.tests]
    done = subprocess.run(argv, cwd=tree, env=_environment(tree) | lines, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"without any mutant:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
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
    """Those that reach the line, the quickest first; of a line that runs at import, those that reach the file."""
    if mutant.path.endswith(".lua"):
        return list(record)
    reaching = {test for test, each in record.items() if mutant.line in each["lines"].get(mutant.path, ())}
    reaching = reaching or {test for test, each in record.items() if mutant.path in each["lines"]}
    return sorted(reaching, key=lambda test: float(record[test]["seconds"]))


def _verdict(tree: Path, tests: list[str], seconds: float) -> str:
    """The tests run in a group of processes of their own, which ends with them: a mutant may hang."""
    with subprocess.Popen(
        [*PYTEST, *tests], cwd=tree, env=_environment(tree), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, text=True,
    ) as process:  # fmt: skip
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return "timeout"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
    return "killed" if process.returncode else "survived"
