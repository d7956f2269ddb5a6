"""Shared work: callers that ask for the same thing at the same time get one answer, made after all of them asked.

No answer is older than its question, so nothing here can go stale; yet a thousand clients that come back at once cost
two snapshots, not a thousand.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from app.core.errors import DependencyUnavailable

Answer = TypeVar("Answer")

STRIPES = 64
WAIT_SECONDS = 10.0


class _Call(Generic[Answer]):
    def __init__(self) -> None:
        self.done = threading.Event()
        self.answer: Answer | None = None
        self.error: BaseException | None = None


class SingleFlight(Generic[Answer]):
    """One at a time per key; those who come while one is under way share the next."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._boarding: dict[str, _Call[Answer]] = {}
        self._running = [threading.Lock() for _ in range(STRIPES)]

    def share(self, key: str, make: Callable[[], Answer]) -> Answer:
        """Return `make()`, or what another caller's `make()` gave that began after this call. Raises what it raised."""
        with self._guard:
            call = self._boarding.get(key)
            if call is None:
                leading = self._boarding[key] = _Call()
        if call is None:
            self._lead(key, leading, make)
            call = leading
        elif not call.done.wait(WAIT_SECONDS):
            raise DependencyUnavailable("The state took too long to read.")
        if call.error is not None:
            raise call.error
        return call.answer  # type: ignore[return-value]

    def _lead(self, key: str, call: _Call[Answer], make: Callable[[], Answer]) -> None:
        with self._running[hash(key) % STRIPES]:
            with self._guard:
                del self._boarding[key]
            try:
                call.answer = make()
            except BaseException as error:  # noqa: BLE001 - raised again in every caller
                call.error = error
            finally:
                call.done.set()
