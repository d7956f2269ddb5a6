"""The whole suite: first what measures time or cost, one by one, then all the rest side by side.

`python -m tests` takes pytest's own arguments, such as `-x`. It fails when either part does.
"""

import compileall
import os
import subprocess
import sys
from pathlib import Path

from tests.support.randomness import SEED

ROOT = Path(__file__).resolve().parents[1]
FEWEST, MOST = 2, 8


def workers() -> int:
    """Two for each core, since most tests wait for most of their time; each has servers of its own."""
    return int(os.environ.get("TEST_WORKERS") or min(max(2 * (os.cpu_count() or 1), FEWEST), MOST))


def run(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments, *sys.argv[1:]], cwd=ROOT, check=False).returncode


def main() -> int:
    os.environ["TEST_SEED"] = str(SEED)  # the same for all processes of the run
    for folder in ("app", "tasks", "tests"):  # once, not in each of hundreds of processes, whatever Python may write
        compileall.compile_dir(str(ROOT / folder), quiet=1)
    drawn = f"--hypothesis-seed={SEED}"
    together = ["-n", str(workers()), "--dist", "loadfile", "--no-loadscope-reorder"]
    failed = [run(drawn, "-m", "alone and not soak"), run(drawn, *together, "-m", "not alone and not soak")]
    return next((code for code in failed if code), 0)


if __name__ == "__main__":
    sys.exit(main())
