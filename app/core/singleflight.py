"""Single flight: concurrent callers with the same key share one result, computed after all of them called.

No result is older than its call, so nothing is cached; yet a thousand clients that reconnect at once cost two
snapshots instead of a thousand.
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
    """Runs one call at a time per key; callers that arrive during a run share the next one."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._pending: dict[str, _Call[Answer]] = {}
        self._running = [threading.Lock() for _ in range(STRIPES)]

    def share(self, key: str, make: Callable[[], Answer]) -> Answer:
        """Return `make()` or the result of another caller's that starts after this call. Raises its error."""
        with self._guard:
            call = self._pending.get(key)
            if call is None:
                own = self._pending[key] = _Call()
        if call is None:
            self._run(key, own, make)
            call = own
        elif not call.done.wait(WAIT_SECONDS):
            raise DependencyUnavailable("The result took too long to compute.")
        if call.error is not None:
            raise call.error
        return call.answer  # type: ignore[return-value]

    def _run(self, key: str, call: _Call[Answer], make: Callable[[], Answer]) -> None:
        with self._running[hash(key) % STRIPES]:
            with self._guard:
                del self._pending[key]
            try:
                call.answer = make()
            except BaseException as error:  # noqa: BLE001 - raised again in every caller
                call.error = error
            finally:
                call.done.set()
