"""`python -m tests.simulation.mutants [--sample N] [--seed S] [--steps N]`: the mutants that the simulation misses.

Each comparison, condition, constant, option and call of the scripts is changed in turn (tests/mutation/lua_mutants.py);
a mutant is killed if some step differs from the model or breaks a rule. Writes the result into docs/limiter-proof.md.
"""

import argparse
import os
import random
import re
import secrets
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from app.realtime import scripts
from tests.mutation.lua_mutants import mutants_of
from tests.mutation.mutant import Mutant
from tests.simulation.run import first_problem

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "app/realtime/lua"
PAGE = ROOT / "docs/limiter-proof.md"
OF_OTHER_TESTS = {"lease_lead.lua"}  # tests/realtime/test_beat_lead.py
LIMIT_SECONDS, AGAIN = 30, 4
BEGIN, END = "<!-- mutants -->", "<!-- end of mutants -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, help="how many; all of them if not given")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument(
        "--steps", type=int, default=6_000, help="for each mutant; a survivor gets four times as many more"
    )
    parser.add_argument("--minutes", type=float, default=600, help="stop then, and tell how many were tried")
    options = parser.parse_args()
    mutants = [each for path in sorted(FOLDER.glob("*.lua")) if path.name not in OF_OTHER_TESTS for each in _of(path)]
    random.Random(options.seed).shuffle(mutants)
    until, tried = time.monotonic() + options.minutes * 60, []
    for mutant in mutants[: options.sample]:
        if time.monotonic() > until:
            break
        verdict = _verdict(mutant, f"{options.seed}", options.steps)
        if verdict == "survived":
            verdict = _verdict(mutant, f"{options.seed} again", AGAIN * options.steps)
        print(f"{verdict:8} {mutant.name}", flush=True)
        tried.append((mutant, verdict))
    _write(tried, len(mutants), options)
    return 0


def _of(path: Path) -> list[Mutant]:
    return mutants_of(path.name, path.read_text("utf-8"))


def _verdict(mutant: Mutant, seed: str, steps: int) -> str:
    """`killed`, `timeout` (a mutant that loops), or `survived`; tried in a process of its own."""
    child = os.fork()
    if child == 0:
        _put(mutant)
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_SECONDS)
        os._exit(1 if first_problem(seed, steps) else 0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return {0: "survived", 1: "killed"}.get(code, "timeout")


def _put(mutant: Mutant) -> None:
    original, text = scripts.source.__wrapped__, (FOLDER / mutant.path).read_text("utf-8")
    scripts._sha.cache_clear()
    scripts.source = lambda operation: original(operation).replace(text, mutant.source)  # type: ignore[assignment]


def _write(tried: list[tuple[Mutant, str]], count: int, options: argparse.Namespace) -> None:
    files: dict[str, Counter[str]] = {}
    for mutant, verdict in tried:
        files.setdefault(mutant.path, Counter())["survived" if verdict == "survived" else "killed"] += 1
    killed = sum(each["killed"] for each in files.values())
    lines = [
        f"Tried: {len(tried)} of {count} mutants with seed {options.seed}, each over {options.steps} steps,",
        f"those that survive over {AGAIN} times as many more. Killed: {killed} ({killed / max(1, len(tried)):.1%}).",
        "",
        "| script | killed | survived |",
        "|---|---|---|",
        *(f"| `{path}` | {found['killed']} | {found['survived']} |" for path, found in sorted(files.items())),
        "",
        "Survivors:",
        "",
        *(f"- `{each.path}`:{each.line}: {_code(each.change)}" for each, verdict in tried if verdict == "survived"),
    ]
    page = PAGE.read_text("utf-8")
    table = "\n".join(lines)
    PAGE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{table}\n{END}", page, flags=re.DOTALL), "utf-8")


def _code(change: str) -> str:
    return "``" + change.replace("`", "'") + " ``"


if __name__ == "__main__":
    sys.exit(main())
