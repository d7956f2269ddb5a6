"""`python -m tests.simulation [--steps N] [--seed S] [--lua51]`: random steps of the room limiter with a virtual clock.

`--replay SEED` repeats one episode, whose seed a failure prints, and mirrors it on a real Valkey.
"""

import argparse
import secrets
import sys
import time
from functools import partial

from tests.simulation import run
from tests.simulation.lua_server import LuaServer
from tests.simulation.mirror import replay


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000_000)
    parser.add_argument("--seed", default=str(secrets.randbelow(2**32)))
    parser.add_argument("--lua51", action="store_true", help="run in Lua 5.1 instead of LuaJIT, which is slower")
    parser.add_argument("--replay", metavar="SEED", help="the seed of one episode, such as 17/4")
    options = parser.parse_args()
    if options.replay:
        return replay(options.replay)
    print(f"seed {options.seed}, {options.steps} steps", flush=True)
    began = time.process_time()
    done = run.run(options.seed, options.steps, partial(LuaServer, "lua51" if options.lua51 else "luajit"))
    print(f"{done} steps without a difference, in {time.process_time() - began:.0f} s of processor time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
