"""`python -m tests.mutation TARGET [--module NAME] [--sample N] [--seed S]`: which mutants does no test notice?

A fresh seed is drawn and printed unless one is given. Ends with 1 when fewer than 90 % of the mutants are killed.
"""

import argparse
import secrets
import sys

from tests.mutation import run
from tests.mutation.targets import TARGETS

WANTED = 0.9
DEFAULT_SAMPLE = 40


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS, nargs="+")
    parser.add_argument("--module", help="the name of one file, without its ending")
    parser.add_argument("--sample", type=int, default=DEFAULT_SAMPLE, help="0: all of them, which takes hours")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    options = parser.parse_args()
    return max(_try(name, options) for name in options.target)


def _try(name: str, options: argparse.Namespace) -> int:
    _tell(f"{name}: seed {options.seed}, sample {options.sample or 'all'}")
    results = run.run(TARGETS[name], options.module, options.sample or None, options.seed, _tell)
    survivors = [each for each in results if each.verdict in ("survived", "uncovered")]
    killed = len(results) - len(survivors)
    _tell(f"\n{name}: {killed} of {len(results)} killed ({killed / max(1, len(results)):.0%})")
    for each in survivors:
        _tell(f"  {each.verdict}: {each.mutant.name}")
    return int(killed < WANTED * len(results))


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
