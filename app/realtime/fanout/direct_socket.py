"""A client's socket without a greenlet: eventlet's hub calls it when the socket becomes readable or writable.

Writes never block: up to 1 MiB that the kernel does not accept waits in the backlog and is sent first.
"""

import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from eventlet import hubs
from eventlet.hubs import hub

from app.realtime.fanout.frames import CloseReason

MAX_BACKLOG_BYTES = 1024 * 1024
READ, WRITE = hub.READ, hub.WRITE
READ_BYTES, WRITE_BYTES = 64 * 1024, 128 * 1024
LINGER_SECONDS = 2.0
MAX_LINGER_BYTES, MAX_LINGERING = 16 * 1024 * 1024, 1000
_RESET = struct.pack("ii", 1, 0)


def _ignore(*_: Any) -> None: ...


class DirectSocket:
    """A connection taken over from the WSGI server: a WebSocket or an event stream.

    `send` is its socket's `send`; the class attribute `backlogged` counts slow clients. At the end the hub calls
    `connection_ended(reason)` of the `owner`, which may not block.
    """

    __slots__ = (
        "_backlog_bytes", "_discarded_bytes", "_is_closing", "_listeners", "backlog", "closed", "max_backlog_bytes",
        "owner", "send", "socket",
    )  # fmt: skip

    backlogged = 0
    lingering = 0

    def __init__(self, sock: socket.socket, owner: Any) -> None:
        self.socket, self.owner = sock, owner
        self.send = sock.send
        self.max_backlog_bytes = MAX_BACKLOG_BYTES
        self._listeners: dict[str, Any] = {}
        self._backlog_bytes = self._discarded_bytes = 0
        self._is_closing = False
        self.backlog: deque[bytes | memoryview] | None = None
        self.closed = False

    def write(self, data: bytes) -> None:
        """Send complete messages now, or once the client accepts them. Never raises and never blocks."""
        if self.backlog is not None:
            self.buffer(data)
            return
        try:
            sent = self.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.abort(CloseReason.TRANSPORT_ERROR)
            return
        if sent != len(data):
            self.buffer(memoryview(data)[sent:])

    def buffer(self, data: bytes | memoryview) -> None:
        """Append to the backlog. A client with more than `max_backlog_bytes` there is disconnected."""
        if self.closed or self._is_closing:
            return
        if self.backlog is None:
            self.backlog = deque()
            DirectSocket.backlogged += 1
            self.listen(WRITE, self._on_writable)
        self.backlog.append(data)
        self._backlog_bytes += len(data)
        if self._backlog_bytes > self.max_backlog_bytes:
            self.abort(CloseReason.SLOW_CLIENT, reset=True)

    def close_after(self, last: bytes) -> None:
        """Send the backlog and the last bytes, then discard remaining input until the client closes.

        The kernel resets a connection that is closed with unread input, which loses the last bytes written.
        """
        if self.closed or self._is_closing:
            return
        self.write(last)
        if self.closed or DirectSocket.lingering >= MAX_LINGERING:
            self.release()
            return
        self._is_closing = True
        DirectSocket.lingering += 1
        self.owner = None
        self.unlisten(READ)
        self.listen(READ, self._discard_input)
        self.schedule(LINGER_SECONDS, self.release)
        if self.backlog is None:
            self._shut_down_writing()

    def abort(self, reason: str, *, reset: bool = False) -> None:
        """Close at once and notify the owner; with `reset` the kernel drops its send buffer."""
        if self.closed or self._is_closing:
            return
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        owner = self.owner
        self.release()
        owner.connection_ended(reason)

    def receive(self) -> bytes | None:
        """Bytes from the socket, b"" at its end, None when there are none yet."""
        try:
            return self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def release(self) -> None:
        """Close the socket, stop listening, and let the owner go, which would be kept by a reference cycle."""
        if self.closed:
            return
        self.closed = True
        self.owner = None
        if self._is_closing:
            DirectSocket.lingering -= 1
        if self.backlog is not None:
            DirectSocket.backlogged -= 1
            self.backlog = None
        for kind in list(self._listeners):
            self.unlisten(kind)
        self.socket.close()

    def listen(self, kind: str, callback: Callable[[int], None]) -> None:
        if kind not in self._listeners:  # the read or write that follows reports the errors that are ignored here
            self._listeners[kind] = hubs.get_hub().add(kind, self.socket.fileno(), callback, _ignore, _ignore)

    def unlisten(self, kind: str) -> None:
        if (listener := self._listeners.pop(kind, None)) is not None:
            hubs.get_hub().remove(listener)

    def schedule(self, seconds: float, callback: Callable[[], None]) -> None:
        hubs.get_hub().schedule_call_global(seconds, callback)

    def _on_writable(self, _fileno: int) -> None:
        """Send the beginning of the backlog, about as much as the kernel accepts at once."""
        backlog = self.backlog
        if backlog is None:
            return
        data = self._take_from(backlog)
        try:
            sent = self.send(data[:WRITE_BYTES])
        except BlockingIOError:
            sent = 0
        except OSError:
            self.abort(CloseReason.TRANSPORT_ERROR)
            self.release()
            return
        self._backlog_bytes -= sent
        if sent != len(data):
            backlog.appendleft(data[sent:])
        elif not backlog:
            self.backlog = None
            DirectSocket.backlogged -= 1
            self.unlisten(WRITE)
            if self._is_closing:
                self._shut_down_writing()

    def _take_from(self, backlog: deque[bytes | memoryview]) -> memoryview:
        """Whole entries; never a copy of a large one, which many connections may share."""
        first = backlog.popleft()
        if len(first) >= WRITE_BYTES or not backlog:
            return memoryview(first)
        parts, size = [first], len(first)
        while backlog and size < WRITE_BYTES and len(backlog[0]) < WRITE_BYTES:
            parts.append(backlog.popleft())
            size += len(parts[-1])
        return memoryview(b"".join(parts))

    def _shut_down_writing(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.release()

    def _discard_input(self, _fileno: int) -> None:
        data = self.receive()
        self._discarded_bytes += len(data or b"")
        if data == b"" or self._discarded_bytes > MAX_LINGER_BYTES:
            self.release()
