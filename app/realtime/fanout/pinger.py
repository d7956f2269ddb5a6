"""One greenlet that pings all connections and ends the silent ones."""

import time
from collections import deque
from typing import Any
from weakref import ReferenceType, ref

from engineio.exceptions import EngineIOError

from app.core import runtime

TICK_SECONDS, TICKS_PER_TIMEOUT = 0.25, 100
SOCKETS_PER_YIELD = 250


class Pinger:
    """Two queues in the order of their due time, since all intervals are the same and all timeouts are the same.

    They do not keep a connection that has ended: else a thousand short ones a second would fill the memory.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._to_ping: deque[tuple[float, ReferenceType[Any]]] = deque()
        self._to_check: deque[tuple[float, ReferenceType[Any], float]] = deque()
        self._running = False

    def ping_later(self, socket: Any) -> None:
        """Ping this connection when the interval has passed."""
        self._to_ping.append((time.monotonic() + self._engine.ping_interval, ref(socket)))
        if not self._running:
            self._running = True
            runtime.spawn(self._run)

    def _run(self) -> None:
        while True:
            runtime.sleep(min(TICK_SECONDS, self._engine.ping_timeout / TICKS_PER_TIMEOUT))
            self._ping_due()
            self._end_silent()

    def _ping_due(self) -> None:
        count = 0
        while self._to_ping and self._to_ping[0][0] <= time.monotonic():
            socket = self._to_ping.popleft()[1]()
            if socket is None:
                continue
            try:
                asked = socket.ping()
            except EngineIOError:  # it was closed
                self._engine.sockets.pop(socket.sid, None)
                continue
            self._to_check.append((time.monotonic() + self._engine.ping_timeout, ref(socket), asked))
            count += 1
            if count % SOCKETS_PER_YIELD == 0:
                runtime.sleep(0)

    def _end_silent(self) -> None:
        while self._to_check and self._to_check[0][0] <= time.monotonic():
            _, reference, asked = self._to_check.popleft()
            socket = reference()
            if socket is None:
                continue
            if socket.closed:
                self._engine.sockets.pop(socket.sid, None)
            elif socket.is_silent(asked):
                runtime.spawn(socket.end_silent)
