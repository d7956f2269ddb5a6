"""How fast this machine is at the moment, so that no test depends on what else runs on it.

A wait ends when its condition holds: `patience(seconds)` only says when to give up. A claim about a duration compares
it with `seconds * slowdown()`.
"""

import os
import time
from functools import cache

SHORTEST_PATIENCE_SECONDS = 5.0
REFERENCE_SECONDS = 0.0015  # what the piece of work takes on an idle core of the reference machine
MEASURED_EVERY_SECONDS = 3.0  # each measurement takes as long as five pieces of work
MOST = 6.0  # a test that waits forever must end at some time
ROUNDS = 5


def slowdown() -> float:
    """How many times longer than on the idle reference machine work takes here, 1 at least.

    The load average covers the last minute, the measurement this moment, and the one at the start a slow processor.
    """
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    now = _measured(int(time.monotonic() / MEASURED_EVERY_SECONDS))
    return min(MOST, max(1.0, load, now, _measured(_STARTED)))


def patience(seconds: float) -> float:
    """How long to wait for what takes `seconds` at most on an idle machine, before giving up."""
    return max(seconds, SHORTEST_PATIENCE_SECONDS) * slowdown()


@cache
def _measured(_: int) -> float:
    """How many times as long as on the reference machine a piece of work takes; measured once per argument."""
    began = time.perf_counter()
    for _round in range(ROUNDS):
        sum(number * number for number in range(20_000))
    return (time.perf_counter() - began) / ROUNDS / REFERENCE_SECONDS


_STARTED = -1
_measured(_STARTED)
