"""How fast this machine is at the moment, so that no test depends on its other load.

A wait ends when its condition holds; `patience(seconds)` is only its time limit. A claim about a duration compares it
with `seconds * slowdown()`.
"""

import os
import time
from functools import cache

MIN_PATIENCE_SECONDS = 5.0
REFERENCE_SECONDS = 0.0015  # for one round of work on an idle core of the reference machine
MEASURED_EVERY_SECONDS = 3.0
MAX_SLOWDOWN = 6.0  # so that a wait for what never happens ends
ROUNDS = 5


def slowdown() -> float:
    """How many times longer work takes than on the idle reference machine, at least 1.

    The largest of: the load average of the last minute, a measurement of this moment, and one at the start.
    """
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    now = _measured(int(time.monotonic() / MEASURED_EVERY_SECONDS))
    return min(MAX_SLOWDOWN, max(1.0, load, now, _measured(_STARTED)))


def patience(seconds: float) -> float:
    """The time limit for something that takes at most `seconds` on an idle machine."""
    return max(seconds, MIN_PATIENCE_SECONDS) * slowdown()


@cache
def _measured(_: int) -> float:
    """How many times longer a round of work takes than on the reference machine; measured once per argument."""
    began = time.perf_counter()
    for _round in range(ROUNDS):
        sum(number * number for number in range(20_000))
    return (time.perf_counter() - began) / ROUNDS / REFERENCE_SECONDS


_STARTED = -1
_measured(_STARTED)
