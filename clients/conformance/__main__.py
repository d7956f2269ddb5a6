"""Proves a client: `python -m clients.conformance --driver 'node my-driver.mjs' [case…]`.

Without `--driver` both packages of this repository are proved. Exits with 1 if a case fails.
"""

import argparse
import sys

from clients.conformance import drivers
from clients.conformance.case import FOLDER, load
from clients.conformance.runs import AT_A_TIME, Pool, Run, runs_of


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m clients.conformance", description=__doc__)
    parser.add_argument("cases", nargs="*", help="names of cases, such as room-lost-event; by default all")
    drivers.add_arguments(parser)
    parser.add_argument("--at-a-time", type=int, default=AT_A_TIME, help="cases side by side (default: %(default)s)")
    options = parser.parse_args()
    cases = load([FOLDER / f"{name}.yaml" for name in options.cases] or None)
    commands = drivers.commands(options.driver, options.roles, options.transports)
    runs = [run for command in commands for run in runs_of(command, cases)]
    with Pool(options.at_a_time) as pool:
        playing = [(run, pool.submit(run)) for run in runs]
        failed = [run for run, outcome in playing if not _passed(run, outcome.result().faults)]
    print(f"{len(runs) - len(failed)} of {len(runs)} passed")
    return 1 if failed else 0


def _passed(run: Run, faults: list[str]) -> bool:
    print(f"{'failed' if faults else 'passed'}  {run}: {run.case.title}", flush=True)
    for fault in faults:
        print(f"        {fault}", flush=True)
    return not faults


if __name__ == "__main__":
    sys.exit(main())
