"""Mutates the room client of clients/js with Stryker and runs its Node tests in a copy of the files they need.

Stryker 9.6 is the last line that supports Node 20; it is pinned in `client/` and fetched at the first use.
A sample is a sample of lines, because Stryker takes ranges of lines but not a number of mutants.
"""

import json
import random
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.node import ROOT, locked_packages, node_binary

SOURCES = Path(__file__).parent / "client"
SCRIPTS = Path("clients/js/src")
TESTS = Path("clients/js/test")
MUTATED = ("room-client.js", "request.js", "room/*.js")
SKIPPED = "room/settings.js"  # only constants
KILLED, ALIVE = ("Killed", "Timeout"), ("Survived", "NoCoverage")


def run(module: str | None, sample: int | None, seed: int, log: Callable[[str], None]) -> tuple[int, list[str]]:
    """The number of mutants tried and a line for each survivor. Raises RuntimeError if Stryker fails."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder)
        _prepare(tree, module, sample, seed)
        command = [node_binary(), "node_modules/@stryker-mutator/core/bin/stryker.js", "run"]
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
        report = tree / "reports/mutation/mutation.json"
        if not report.exists():
            raise RuntimeError(f"Stryker did not run:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
        found = json.loads(report.read_text(encoding="utf-8"))
    return _survivors(found, log)


def _prepare(tree: Path, module: str | None, sample: int | None, seed: int) -> None:
    for part in (SCRIPTS, TESTS):
        shutil.copytree(ROOT / part, tree / part)
    (tree / "node_modules").symlink_to(locked_packages(SOURCES, "stryker") / "node_modules")
    (tree / "package.json").write_text('{"type": "module", "private": true}')
    tests = sorted((tree / TESTS).glob("room-*.test.mjs"), key=lambda each: each.stat().st_size)
    config = {
        "testRunner": "tap",
        "plugins": ["@stryker-mutator/tap-runner"],
        "tap": {
            "testFiles": [str(each.relative_to(tree)) for each in tests],
            "nodeArgs": ["--test-reporter=tap", "-r", "{{hookFile}}", "{{testFile}}"],
            "forceBail": True,
        },
        "mutate": _lines(module, sample, seed),
        "coverageAnalysis": "perTest",
        "concurrency": 4,  # the tests mostly wait for timers
        "reporters": ["json"],
        "timeoutMS": 30_000,
    }
    (tree / "stryker.config.json").write_text(json.dumps(config), encoding="utf-8")


def _lines(module: str | None, sample: int | None, seed: int) -> list[str]:
    """The files to mutate, or a sample of their lines of code."""
    paths = [path for pattern in MUTATED for path in sorted((ROOT / SCRIPTS).glob(pattern))]
    chosen = [path for path in paths if module in (None, path.stem) and not str(path).endswith(SKIPPED)]
    names = {path: str(path.relative_to(ROOT)) for path in chosen}
    if sample is None:
        return list(names.values())
    lines = [
        f"{names[path]}:{number}-{number}"
        for path in chosen
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if line.strip() and not line.strip().startswith(("*", "/*", "//", "import", "export {", "}"))
    ]
    return sorted(random.Random(seed).sample(lines, min(sample, len(lines))))


def _survivors(report: dict[str, Any], log: Callable[[str], None]) -> tuple[int, list[str]]:
    survivors, verdicts = [], Counter[str]()
    for path, file in sorted(report["files"].items()):
        lines = file["source"].splitlines()
        for each in file["mutants"]:
            verdicts[each["status"]] += 1
            if each["status"] in ALIVE:
                line = each["location"]["start"]["line"]
                change = f"{lines[line - 1].strip()} -> {each['mutatorName']}: {each.get('replacement', '')}"
                survivors.append(f"{each['status'].lower()}: {path}:{line}: {change}")
    log(", ".join(f"{count} {verdict.lower()}" for verdict, count in sorted(verdicts.items())))
    return sum(verdicts[verdict] for verdict in (*KILLED, *ALIVE)), survivors
