"""Turns: callers of one protocol relay its events one after the other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

TURN_SECONDS = 1.0

_turns = tuple(threading.Lock() for _ in range(64))


@contextmanager
def keyed_lock(protocol_id: str) -> Iterator[bool]:
    """Callers of one protocol relay one after the other: the first takes the events of all, and none is sent again.

    False for a caller that waited a second in vain: another one is still at it, or the sweep comes.
    """
    lock = _turns[hash(protocol_id) % len(_turns)]
    is_mine = lock.acquire(timeout=TURN_SECONDS)
    try:
        yield is_mine
    finally:
        if is_mine:
            lock.release()
