"""Runs the whole suite: first the tests that measure time or cost, one by one, then all others in parallel.

`python -m tests` takes pytest's arguments, such as `-x`, and fails if either part fails. `TEST_BUSY_LOOPS=2` runs two
busy loops beside it, as on a loaded machine; `TEST_SEED` repeats the random tests of an earlier run. The file that
`TEST_ALONE_DONE` names is written after the first part, for work that may run beside the second.
"""

import compileall
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import start, stop
from tests.support.seeds import SEED

ROOT = Path(__file__).resolve().parents[1]
MIN_WORKERS, MAX_WORKERS = 2, 8
MAX_BUSY_SECONDS = 7200
BUSY_LOOP = f"import time; end = time.monotonic() + {MAX_BUSY_SECONDS}\nwhile time.monotonic() < end: pass"
ALONE = "mark.alone"
NO_TESTS = 5  # pytest's exit code when the arguments name none of the part's tests


def workers() -> int:
    """More than two for each core, because most tests spend most of their time waiting."""
    return int(os.environ.get("TEST_WORKERS") or min(max(2 * (os.cpu_count() or 1) + 1, MIN_WORKERS), MAX_WORKERS))


def files_alone() -> list[str]:
    """The files with tests that run alone, since to collect all takes ten seconds; all if pytest has arguments."""
    if sys.argv[1:]:
        return []
    return sorted(str(each) for each in ROOT.glob("tests/*/test_*.py") if ALONE in each.read_text(encoding="utf-8"))


def run(*arguments: str) -> int:
    command = [sys.executable, "-m", "pytest", *arguments, *sys.argv[1:]]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    return 0 if code == NO_TESTS and sys.argv[1:] else code


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Run `count` processes that only use processor time."""
    loops = [start([sys.executable, "-c", BUSY_LOOP], log=Path(os.devnull)) for _ in range(count)]
    try:
        yield
    finally:
        for each in loops:
            stop(each)


def main() -> int:
    print(f"random tests: TEST_SEED={SEED}", flush=True)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each of pytest's processes would rewrite all tests again
    for folder in ("app", "tasks", "tests", "clients"):  # once, instead of in each of hundreds of processes
        compileall.compile_dir(str(ROOT / folder), quiet=1)
    together = ["-n", str(workers()), "--dist", "loadfile", "--no-loadscope-reorder"]
    with busy_loops(int(os.environ.get("TEST_BUSY_LOOPS", "0"))):
        failed = [run("-m", "alone and not soak", *files_alone())]
        if done := os.environ.get("TEST_ALONE_DONE"):
            Path(done).touch()
        failed.append(run(*together, "-m", "not alone and not soak"))
    return next((code for code in failed if code), 0)


if __name__ == "__main__":
    sys.exit(main())
