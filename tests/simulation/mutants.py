"""`python -m tests.simulation.mutants [--scripts a.lua,b.lua] [--seed S]`: the mutants that the simulation misses.

Each comparison, condition, constant, option and call of the scripts is changed in turn (tests/mutation/lua_mutants.py);
a mutant is killed if some step differs from the model or breaks a rule. Nearly all die in the fixed steps or within a
few thousand random ones, so the cost is that of the survivors. Writes the result into docs/limiter-proof.md.
"""

import argparse
import hashlib
import json
import os
import random
import re
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from app.realtime import scripts
from tests.mutation.lua_mutants import mutants_of
from tests.mutation.mutant import Mutant
from tests.simulation.fixed_steps import first_fixed_problem
from tests.simulation.run import first_problem

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "app/realtime/lua"
PAGE = ROOT / "docs/limiter-proof.md"
OF_OTHER_TESTS = {"lease_lead.lua"}  # tests/realtime/test_beat_lead.py
EQUAL = {  # changes that make no difference by construction, and why
    r"unpack\(KEYS, \d+, (\d+)\).*: `\1` -> ": "reads a key more than it names",
    r"'LRANGE', WINDOW_KEY, 0, LIMIT - 1\).*: `-` -> `\+`|\$', -40\).*: `40` -> `41`": "reads more than there is",
    r"gsub\(.*: `1` -> `2`": "an update has one such member, because quotes in texts are escaped",
    r"^(?:waiting|terminal)\.lua.* if free <= 0 .*: `<=` -> `<`": "saves calls that take nothing",
    r"if queue_length <= capacity.*: `<=` -> `<`": "saves a call that takes nothing",
    r"(?:local slot = |version_of\(latest\) or 0|epoch or 0).*: `0` -> `1`": "a microsecond of 1970",
}
LIMIT_SECONDS, FIRST_STEPS = 60, 2_000
BEGIN, END = "<!-- mutants -->", "<!-- end of mutants -->"


class Tried(NamedTuple):
    mutant: Mutant
    verdict: str
    seconds: float  # of processor time


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scripts", help="file names, with commas between; all if not given")
    parser.add_argument("--sample", type=int, help="how many mutants; all of them if not given")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--steps", type=int, default=20_000, help="for a mutant that survives")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=600, help="stop then, and tell how many were tried")
    parser.add_argument("--results", type=Path, help="a file of verdicts, which is added to and not tried again")
    options = parser.parse_args()
    wanted = options.scripts.split(",") if options.scripts else [path.name for path in FOLDER.glob("*.lua")]
    paths = [path for path in sorted(FOLDER.glob("*.lua")) if path.name not in OF_OTHER_TESTS]
    mutants = [each for path in paths for each in mutants_of(path.name, path.read_text("utf-8"))]
    is_equal = re.compile("|".join(f"(?:{each})" for each in EQUAL)).search
    count, mutants = len(mutants), [each for each in mutants if not is_equal(each.name)]
    chosen = [each for each in mutants if each.path in wanted]
    random.Random(options.seed).shuffle(chosen)
    tried = list(_known(options.results, mutants))
    known = {each.mutant.name for each in tried}
    left = [each for each in chosen[: options.sample] if each.name not in known]
    for each in _try(left, options):
        print(f"{each.verdict:8} {each.seconds:6.2f} s {each.mutant.name}", flush=True)
        _note(options.results, each)
        tried.append(each)
    _write(tried, count, count - len(mutants), options)
    return 0


def _try(mutants: list[Mutant], options: argparse.Namespace) -> Iterator[Tried]:
    until, running = time.monotonic() + options.minutes * 60, dict[int, Mutant]()
    for mutant in mutants:
        if len(running) >= options.processes:
            yield _next_result(running)
        if time.monotonic() > until:
            break
        running[_start(mutant, str(options.seed), options.steps)] = mutant
    while running:
        yield _next_result(running)


def _start(mutant: Mutant, seed: str, steps: int) -> int:
    """The id of a process that tries the mutant and ends with 1 if it is killed, with 0 if it survives."""
    child = os.fork()
    if child == 0:
        _put(mutant)
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_SECONDS)
        os._exit(1 if _problem(seed, steps) else 0)
    return child


def _problem(seed: str, steps: int) -> Exception | None:
    """The cheapest steps first."""
    return first_problem(seed, FIRST_STEPS) or first_fixed_problem() or first_problem(f"{seed} again", steps)


def _next_result(running: dict[int, Mutant]) -> Tried:
    """`killed`, `timeout` (a mutant that loops), or `survived`."""
    child, status, used = os.wait3(0)
    verdict = {0: "survived", 1: "killed"}.get(os.waitstatus_to_exitcode(status), "timeout")
    return Tried(running.pop(child), verdict, used.ru_utime + used.ru_stime)


def _put(mutant: Mutant) -> None:
    original, text = scripts.source.__wrapped__, (FOLDER / mutant.path).read_text("utf-8")
    scripts._sha.cache_clear()
    scripts.source = lambda operation: original(operation).replace(text, mutant.source)  # type: ignore[assignment]


def _known(results: Path | None, mutants: list[Mutant]) -> Iterator[Tried]:
    """The verdicts of the file on mutants of the present scripts."""
    if results is None or not results.exists():
        return
    found = {_digest(each): each for each in mutants}
    for line in results.read_text("utf-8").splitlines():
        digest, verdict, seconds = json.loads(line)
        if digest in found:
            yield Tried(found[digest], verdict, seconds)


def _note(results: Path | None, tried: Tried) -> None:
    if results is not None:
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps([_digest(tried.mutant), tried.verdict, tried.seconds]) + "\n")


def _digest(mutant: Mutant) -> str:
    return hashlib.sha256((mutant.path + mutant.source).encode()).hexdigest()


def _write(tried: list[Tried], count: int, equal: int, options: argparse.Namespace) -> None:
    files: dict[str, Counter[str]] = {}
    for mutant, verdict, _ in tried:
        files.setdefault(mutant.path, Counter())["survived" if verdict == "survived" else "killed"] += 1
    killed, seconds = sum(each["killed"] for each in files.values()), sum(each.seconds for each in tried)
    survivors = sorted((each.mutant for each in tried if each.verdict == "survived"), key=lambda each: each.name)
    lines = [
        f"{count} mutants, of which {equal} make no difference (`EQUAL` in `mutants.py`) and are not tried.",
        f"Tried: {len(tried)} with seed {options.seed}, a survivor over {options.steps} steps.",
        f"Killed: {killed} ({killed / max(1, len(tried)):.1%}), in {seconds / 60:.0f} min of processor time.",
        "",
        "| script | killed | survived |",
        "|---|---|---|",
        *(f"| `{path}` | {found['killed']} | {found['survived']} |" for path, found in sorted(files.items())),
        "",
        "Survivors:" if survivors else "Survivors: none.",
        "",
        *(f"- `{each.path}`:{each.line}: {_code(each.change)}" for each in survivors),
    ]
    page = PAGE.read_text("utf-8")
    table = "\n".join(lines)
    PAGE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{table}\n{END}", page, flags=re.DOTALL), "utf-8")


def _code(change: str) -> str:
    return "``" + change.replace("`", "'") + " ``"


if __name__ == "__main__":
    sys.exit(main())
