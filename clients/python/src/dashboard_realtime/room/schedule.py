"""One timer per purpose, and random pauses that grow with each failure, so that many clients do not act at once."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any

from dashboard_realtime.retrying import Backoff
from dashboard_realtime.room.settings import RoomOptions

logger = logging.getLogger("dashboard_realtime.room")


class Schedule:
    """To be used in one event loop."""

    def __init__(self, options: RoomOptions) -> None:
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._backoff = Backoff(options.retry, options.retry_cap)

    def later(self, purpose: str, seconds: float, action: Callable[[], object]) -> None:
        """Run `action` after this time; of two timers for one purpose the earlier one is kept."""
        due = self._loop.time() + seconds
        known = self._timers.get(purpose)
        if known is not None:
            if known.when() <= due:
                return
            known.cancel()

        def run() -> None:
            del self._timers[purpose]
            action()

        self._timers[purpose] = self._loop.call_at(due, run)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run a coroutine until it ends or everything is closed; its unexpected failure is logged."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("room.task_failed", exc_info=error)

    def cancel(self, purpose: str) -> None:
        if timer := self._timers.pop(purpose, None):
            timer.cancel()

    async def close(self) -> None:
        """Cancel all timers and wait for the end of all coroutines."""
        for purpose in [*self._timers]:
            self.cancel(purpose)
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def jitter(self) -> float:
        return random.uniform(0, self._options.jitter)  # noqa: S311 - spreads clients, protects nothing

    def refresh_pause(self) -> float:
        return self._options.refresh * random.uniform(0.75, 1.25)  # noqa: S311 - as above

    def backoff(self) -> float:
        return self._backoff.next()

    def succeeded(self) -> None:
        self._backoff.reset()
