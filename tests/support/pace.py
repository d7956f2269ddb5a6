"""How fast this machine is at the moment, so that no test depends on what else runs on it.

A wait ends when its condition holds: `patience(seconds)` only says when to give up. A claim about a duration compares
it with `seconds * slowdown()`.
"""

import os
import time

SHORTEST_PATIENCE_SECONDS = 5.0
REFERENCE_SECONDS = 0.0015  # what `_measure` takes on an idle core of the reference machine
MOST = 6.0  # a test that waits forever must end at some time
ROUNDS = 5


def slowdown() -> float:
    """How many times longer than on the idle reference machine work takes here, 1 at least.

    The load average covers the last minute, the measurement this moment, and the one at the start a slow processor.
    """
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    return min(MOST, max(1.0, load, _measure() / REFERENCE_SECONDS, _at_start))


def patience(seconds: float) -> float:
    """How long to wait for what takes `seconds` at most on an idle machine, before giving up."""
    return max(seconds, SHORTEST_PATIENCE_SECONDS) * slowdown()


def _measure() -> float:
    """Seconds that a fixed piece of work takes, on average: what others take from the processor counts."""
    began = time.perf_counter()
    for _ in range(ROUNDS):
        sum(number * number for number in range(20_000))
    return (time.perf_counter() - began) / ROUNDS


_at_start = _measure() / REFERENCE_SECONDS
