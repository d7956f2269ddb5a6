"""`python -m tests.mutation TARGET… [--module NAME] [--sample N] [--seed S]`: list the mutants that no test notices.

Draws and prints a fresh seed unless one is given. Exits with 1 if fewer than 90 % of the mutants are killed.
"""

import argparse
import secrets
import sys

from tests.mutation import client_mutants, run
from tests.mutation.targets import TARGETS

MIN_KILLED = 0.9
DEFAULT_SAMPLE = 40
CLIENT = "client"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=[*TARGETS, CLIENT], nargs="+")
    parser.add_argument("--module", help="the name of one file, without its ending")
    parser.add_argument("--sample", type=int, default=DEFAULT_SAMPLE, help="0: all of them, which takes hours")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    options = parser.parse_args()
    return max([_run_target(name, options) for name in options.target])


def _run_target(name: str, options: argparse.Namespace) -> int:
    _print(f"{name}: seed {options.seed}, sample {options.sample or 'all'}")
    sample = options.sample or None
    if name == CLIENT:
        tried, survivors = client_mutants.run(options.module, sample, options.seed, _print)
    else:
        tried, survivors = run.run(TARGETS[name], options.module, sample, options.seed, _print)
    killed = tried - len(survivors)
    _print(f"\n{name}: {killed} of {tried} killed ({killed / max(1, tried):.0%})")
    for each in survivors:
        _print(f"  {each}")
    return int(killed < MIN_KILLED * tried)


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
