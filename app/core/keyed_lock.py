"""Locks by key within this process: callers of one protocol relay its events one after the other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

WAIT_SECONDS = 1.0

_locks = tuple(threading.Lock() for _ in range(64))


@contextmanager
def keyed_lock(key: str) -> Iterator[bool]:
    """Hold the lock of `key`; False if another caller held it for a second. Some keys share a lock."""
    lock = _locks[hash(key) % len(_locks)]
    is_acquired = lock.acquire(timeout=WAIT_SECONDS)
    try:
        yield is_acquired
    finally:
        if is_acquired:
            lock.release()
