"""Coordination of concurrent callers within a process: locks by key, shared results, caches, counts per second."""

import threading
from collections.abc import Callable, Iterator, MutableMapping
from concurrent.futures import CancelledError, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.core.errors import DependencyUnavailable

Answer = TypeVar("Answer")
Key = TypeVar("Key")
Value = TypeVar("Value")

STRIPES = 64
LOCK_WAIT_SECONDS = 1.0
RESULT_WAIT_SECONDS = 10
STEP_SECONDS = 1.0

_locks = tuple(threading.Lock() for _ in range(STRIPES))


def wait_in_steps(is_done: Callable[[float], bool], seconds: int) -> bool:
    """Call `is_done`, which waits for as long as it is told, for `seconds` in steps of one; True once it is.

    A process that did not get the CPU for a while (a thousand requests in one turn of the loop, a busy host) finds all
    its waits expired when it goes on, though the answers lie in its sockets. A delay of any length counts as one step.
    """
    return any(is_done(STEP_SECONDS) for _ in range(seconds))


@contextmanager
def keyed_lock(key: str) -> Iterator[bool]:
    """Hold the lock of `key`; False if another caller held it for a second. Some keys share a lock."""
    lock = _locks[hash(key) % STRIPES]
    is_acquired = lock.acquire(timeout=LOCK_WAIT_SECONDS)
    try:
        yield is_acquired
    finally:
        if is_acquired:
            lock.release()


class SingleFlight(Generic[Answer]):
    """Runs one call at a time per key; callers that arrive during a run share the next one.

    No result is older than its call, so nothing is cached; yet a thousand clients that reconnect at once cost two
    snapshots instead of a thousand.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._pending: dict[str, Future[Answer]] = {}
        self._running = [threading.Lock() for _ in range(STRIPES)]

    def share(self, key: str, make: Callable[[], Answer]) -> Answer:
        """Return `make()` or the result of another caller's that starts after this call. Raises its error."""
        with self._guard:
            shared = self._pending.get(key)
            if shared is None:
                own = self._pending[key] = Future()
        if shared is None:
            return self._run(key, own, make)
        if not wait_in_steps(lambda step: bool(wait((shared,), step).done), RESULT_WAIT_SECONDS):
            raise DependencyUnavailable("The result took too long to compute.")
        try:
            return shared.result()
        except CancelledError:  # that caller's greenlet was killed
            return self.share(key, make)

    def _run(self, key: str, own: Future[Answer], make: Callable[[], Answer]) -> Answer:
        try:
            with self._running[hash(key) % STRIPES]:
                self._end_sharing(key, own)
                own.set_result(make())
        except BaseException as error:
            self._end_sharing(key, own)
            own.set_exception(error if isinstance(error, Exception) else CancelledError())
            raise
        return own.result()

    def _end_sharing(self, key: str, own: Future[Answer]) -> None:
        with self._guard:
            if self._pending.get(key) is own:
                del self._pending[key]


class SharedCache(Generic[Key, Value]):
    """A cache of cachetools for all threads: two of them that use one without a lock break it for good."""

    def __init__(self, cache: MutableMapping[Key, Value]) -> None:
        self._cache, self._lock = cache, threading.Lock()

    def get(self, key: Key) -> Value | None:
        with self._lock:  # reading changes the order of use
            return self._cache.get(key)

    def __contains__(self, key: Key) -> bool:
        return key in self._cache

    def __setitem__(self, key: Key, value: Value) -> None:
        with self._lock:
            self._cache[key] = value

    def clear(self) -> None:
        with self._lock:
            self._cache.clear()


@dataclass(slots=True)
class RateCounter:
    """Counts events in the current second."""

    count: int = 0
    _second: int = 0

    def add(self, now: float) -> int:
        """Count an event at `now`, in seconds; returns the events in its second so far."""
        if int(now) != self._second:
            self._second, self.count = int(now), 0
        self.count += 1
        return self.count
