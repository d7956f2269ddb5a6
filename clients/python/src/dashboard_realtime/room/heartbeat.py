"""Notices that the server has fallen silent although the connection is open: Engine.IO itself would need 45 seconds."""

import asyncio
import time
from collections.abc import Callable

from dashboard_realtime.room.settings import RoomOptions


class Heartbeat:
    """When nothing was heard for `silence`, it asks for a sign of life, and again every `answer` until it hears one."""

    def __init__(
        self,
        options: RoomOptions,
        *,
        ask: Callable[[], object],
        on_silent: Callable[[], object],
        on_heard: Callable[[], object],
    ) -> None:
        self.heard_at: float | None = None  # in seconds since 1970
        self.is_silent = False
        self._options = options
        self._ask, self._on_silent, self._on_heard = ask, on_silent, on_heard
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0.0  # as `heard_at`, by the steady clock

    def start(self) -> None:
        """Begin with a new connection."""
        self.stop()
        self._note()
        self._watch()

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None
        self.is_silent = False

    def hear(self) -> None:
        """Note a sign of the server."""
        self._note()
        if self.is_silent:
            self.start()
            self._on_heard()

    def _note(self) -> None:
        self.heard_at, self._last = time.time(), time.monotonic()

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, action)

    def _watch(self) -> None:
        if not self._options.silence:
            return
        left = self._last + self._options.silence - time.monotonic()
        if left > 0:
            self._later(left, self._watch)
            return
        self._ask_now()

    def _ask_now(self) -> None:
        asked_at = time.monotonic()
        self._later(self._options.answer, lambda: self._judge(asked_at))
        self._ask()

    def _judge(self, asked_at: float) -> None:
        if self._last >= asked_at:
            self._watch()
            return
        was_silent, self.is_silent = self.is_silent, True
        self._ask_now()  # the answer may be lost, as by a host that drops packets
        if not was_silent:
            self._on_silent()
