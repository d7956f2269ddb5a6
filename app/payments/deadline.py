"""A call over the network that is left when its time is up, whatever the other side does.

A socket's timeout begins anew with each byte, each address of a name has one of its own, and looking the name up has
none. So the call runs in a thread of its own: who waits for it goes on in time, and the connection is cut, which ends
the thread as well.
"""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar

from requests.adapters import HTTPAdapter

Answer = TypeVar("Answer")


class Line:
    """The connections of one call, so that another thread can cut them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[socket.socket] = []
        self._is_cut = False
        self.was_connected = False

    def hold(self, connected: socket.socket) -> socket.socket:
        """Keep a duplicate: TLS takes the socket itself away, yet what is shut by one is shut for all.

        Raises OSError when the line is cut already: nothing is sent by who comes too late.
        """
        with self._lock:
            if self._is_cut:
                connected.close()
                raise OSError("the time of this call is up")
            self._held.append(connected.dup())
            self.was_connected = True
        return connected

    def cut(self) -> None:
        """End every connection; whoever reads from one finds its end."""
        with self._lock:
            self._is_cut = True
            while self._held:
                with self._held.pop() as held, suppress(OSError):
                    held.shutdown(socket.SHUT_RDWR)


class HeldAdapter(HTTPAdapter):
    """Opens its connections on a line, also those to a proxy."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        line = self._line

        class Held(pool.ConnectionCls):  # type: ignore[misc]
            def _new_conn(self) -> socket.socket:
                return line.hold(super()._new_conn())

        pool.ConnectionCls = Held
        return pool


def within(seconds: float, line: Line, call: Callable[[Line], Answer]) -> Answer:
    """Return `call(line)`. Raises what it raised; TimeoutError when it has not ended in time."""
    ended, context = Future[Answer](), copy_context()

    def run() -> None:
        try:
            ended.set_result(context.run(call, line))
        except BaseException as error:  # noqa: BLE001 - raised again in who waits
            ended.set_exception(error)

    try:
        threading.Thread(target=run, name="bounded-call", daemon=True).start()
        return ended.result(seconds)
    finally:
        line.cut()
