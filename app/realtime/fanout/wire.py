"""A WebSocket that has no greenlet of its own: the hub calls it when bytes came or may go.

Writing never blocks. What the kernel does not take now waits here, at most 1 MiB, and goes in order before all else.
"""

import socket
import struct
from collections import deque
from typing import Any

from eventlet import hubs
from eventlet.hubs.hub import BaseHub

from app.realtime.fanout import frames
from app.realtime.fanout.owner import NOBODY, Owner

READ, WRITE = BaseHub.READ, BaseHub.WRITE
TRANSPORT_CLOSE, TRANSPORT_ERROR, TOO_SLOW = "transport close", "transport error", "too slow"

BACKLOG_BYTES = 1024 * 1024
READ_BYTES = 64 * 1024
WRITE_BYTES = 128 * 1024
GOODBYE_SECONDS = 2.0
_RESET = struct.pack("ii", 1, 0)


def _ignore(*_: Any) -> None:
    """Stands in for a method that must no longer do anything."""


class Wire:
    """The writing and reading end of one WebSocket. `send` is its socket's own; `clogged` counts who is behind."""

    __slots__ = (
        "_backlog_bytes", "_leaving", "_listeners", "_owner", "_reader", "_socket", "backlog", "closed", "send",
    )  # fmt: skip

    clogged = 0

    def __init__(self, sock: socket.socket, owner: Owner, max_length: int) -> None:
        self._socket = sock
        self.send = sock.send
        self._owner = owner
        self._reader = frames.FrameReader(max_length)
        self._listeners: dict[str, Any] = {}
        self._backlog_bytes = 0
        self._leaving = False
        self.backlog: deque[bytes] | None = None
        self.closed = False

    def write(self, data: bytes) -> None:
        """Send whole frames, now or as soon as the client takes them. Never raises and never blocks."""
        if self.backlog is not None:
            self.keep(data)
            return
        try:
            sent = self.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.end(TRANSPORT_ERROR)
            return
        if sent != len(data):
            self.keep(data[sent:])

    def read(self) -> None:
        """Have the hub call when something has come."""
        if not self.closed and not self._leaving:
            self._listen(READ, self._readable)

    def pause(self) -> None:
        """Leave what comes in the kernel: the client sends faster than its events are handled."""
        self._unlisten(READ)

    def finish(self, code: int | None = None) -> None:
        """Close politely: what waits is sent first, for at most 2 s."""
        if self.closed or self._leaving:
            return
        self.write(frames.close_frame(code))
        self._leaving = True
        self._unlisten(READ)
        if self.backlog is None:
            self._close()
        else:
            hubs.get_hub().schedule_call_global(GOODBYE_SECONDS, self._close)

    def end(self, reason: str, *, reset: bool = False) -> None:
        """Close at once and tell the owner; with `reset` the kernel drops what it still holds."""
        if self.closed:
            return
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        owner = self._owner
        self._close()
        owner.wire_ended(reason)

    def keep(self, data: bytes) -> None:
        """Send it when the client takes more, after what waits already; a client too far behind is cut off."""
        if self.closed or self._leaving:
            return
        if self.backlog is None:
            self.backlog = deque()
            Wire.clogged += 1
            self._listen(WRITE, self._writable)
        self.backlog.append(data)
        self._backlog_bytes += len(data)
        if self._backlog_bytes > BACKLOG_BYTES:
            self.end(TOO_SLOW, reset=True)

    def _writable(self, _fileno: int) -> None:
        backlog = self.backlog
        if backlog is None:
            return
        data = _take(backlog)
        try:
            sent = self.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.end(TRANSPORT_ERROR)
            return
        self._backlog_bytes -= sent
        if sent != len(data):
            backlog.appendleft(data[sent:])
        elif not backlog:
            self.backlog = None
            Wire.clogged -= 1
            self._unlisten(WRITE)
            if self._leaving:
                self._close()

    def _readable(self, _fileno: int) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.end(TRANSPORT_CLOSE)
            return
        try:
            for opcode, payload in self._reader.feed(data):
                self._take_frame(opcode, payload)
        except frames.FrameError as error:
            self._part(frames.close_frame(error.code), TRANSPORT_ERROR)

    def _take_frame(self, opcode: int, payload: Any) -> None:
        if self.closed or self._leaving:
            return
        if opcode == frames.PING:
            self.write(frames.frame(payload, frames.PONG))
        elif opcode == frames.CLOSE:
            self._part(frames.close_answer(payload), TRANSPORT_CLOSE)
        elif opcode != frames.PONG:
            self._owner.wire_received(opcode, payload)

    def _part(self, farewell: bytes, reason: str) -> None:
        self.write(farewell)
        self.end(reason)

    def _listen(self, kind: str, callback: Any) -> None:
        if kind not in self._listeners:
            add = hubs.get_hub().add
            self._listeners[kind] = add(kind, self._socket.fileno(), callback, _ignore, _ignore)

    def _unlisten(self, kind: str) -> None:
        listener = self._listeners.pop(kind, None)
        if listener is not None:
            hubs.get_hub().remove(listener)

    def _close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._owner, self._reader = NOBODY, _DEAF
        if self.backlog is not None:
            Wire.clogged -= 1
        self.backlog = deque()  # whoever still writes is not served and does not touch the closed socket
        for kind in list(self._listeners):
            self._unlisten(kind)
        self._socket.close()


_DEAF = frames.FrameReader(0)


def _take(backlog: deque[bytes]) -> bytes:
    """The next piece to write: whole entries, up to a size the kernel may take at once."""
    parts, size = [], 0
    while backlog and size < WRITE_BYTES:
        parts.append(backlog.popleft())
        size += len(parts[-1])
    return b"".join(parts)
