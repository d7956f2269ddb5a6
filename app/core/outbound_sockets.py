"""The sockets of one outbound request, so that another thread can end it."""

import socket
import threading
from contextlib import suppress


class Sockets:
    """Also one to a proxy. `was_connected`: a connection was made; `is_shut_down`: the request's time was up."""

    def __init__(self) -> None:
        self.was_connected = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self.is_shut_down = False

    def keep(self, connected: socket.socket) -> socket.socket:
        """Keep a duplicate, since TLS takes the socket itself over. Raises OSError after the shutdown."""
        with self._lock:
            if self.is_shut_down:
                connected.close()
                raise OSError("the time for this request is up")
            self._sockets.append(connected.dup())
            self.was_connected = True
        return connected

    def shut_down(self) -> None:
        """End every connection, for the thread that reads from it as well."""
        with self._lock:
            self.is_shut_down = True
            while self._sockets:
                with self._sockets.pop() as each, suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
