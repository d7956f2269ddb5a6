"""A WebSocket that has no greenlet of its own: the hub calls it when bytes came or may go.

Writing never blocks. What the kernel does not take now waits here, at most 1 MiB, and goes in order before all else.
Reading takes a few frames at a time and counts each: a client that sends without end holds up nobody, and is ended.
"""

import socket
import struct
import sys
from collections import deque
from typing import Any

from eventlet import hubs
from eventlet.hubs.hub import BaseHub

from app.realtime.fanout import frames
from app.realtime.fanout.gone import NOBODY, Owner

READ, WRITE = BaseHub.READ, BaseHub.WRITE
TRANSPORT_CLOSE, TRANSPORT_ERROR, TOO_SLOW, FLOOD = "transport close", "transport error", "too slow", "flood"

BACKLOG_BYTES = 1024 * 1024
READ_BYTES = 64 * 1024
WRITE_BYTES = 128 * 1024
FRAMES_PER_TURN = 32
LINGER_SECONDS = 2.0
LINGER_BYTES = 16 * 1024 * 1024
MAX_LINGERING = 1000
_RESET = struct.pack("ii", 1, 0)


def _ignore(*_: Any) -> None:
    """For the hub, which also calls about errors that a read or write shows anyway."""


class WebSocket:
    """The writing and reading end of one WebSocket. `send` is its socket's own; `backlogged` counts who is behind.

    Its owner is told of the end by `connection_ended`, and calls `finish` when it has answered what came before.
    """

    __slots__ = (
        "_backlog_bytes", "_drained_bytes", "_farewell", "_has_turn", "_leaving", "_listeners", "_paused", "_reader",
        "backlog", "closed", "owner", "send", "socket",
    )  # fmt: skip

    backlogged = 0
    lingering = 0

    def __init__(self, sock: socket.socket, owner: Owner, max_length: int, frame_budget: int = sys.maxsize) -> None:
        self.socket = sock
        self.send = sock.send
        self.owner = owner
        self._reader = frames.FrameReader(max_length, frame_budget)
        self._listeners: dict[str, Any] = {}
        self._backlog_bytes = self._drained_bytes = 0
        self._farewell: bytes | None = None  # the close frame that is due: nothing that comes is looked at any more
        self._has_turn = self._paused = self._leaving = False
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
        """Have the hub call when something has come, after what came before `pause`."""
        self._paused = False
        if self.closed or self._farewell is not None or self._leaving or self._has_turn:
            return
        if self._reader.has_more:
            self._has_turn = True
            hubs.get_hub().schedule_call_global(0, self._take_frames)
        else:
            self._listen(READ, self._readable)

    def pause(self) -> None:
        """Leave what comes in the kernel: the client sends faster than its events are handled."""
        self._paused = True
        self._unlisten(READ)

    def finish(self, code: int = frames.NORMAL) -> None:
        """Close politely (RFC 6455, 7.1.1): send what waits, then the close frame, and read away what still comes.

        A connection closed with bytes unread is reset by the kernel, and what was written last is lost with it.
        """
        if self.closed or self._leaving:
            return
        self.write(self._farewell or frames.close_frame(code))
        if self.closed or WebSocket.lingering >= MAX_LINGERING:
            self._close()
            return
        self._leaving = True
        WebSocket.lingering += 1
        self.owner, self._reader = NOBODY, _DEAF
        self._unlisten(READ)
        self._listen(READ, self._drain)
        hubs.get_hub().schedule_call_global(LINGER_SECONDS, self._close)
        if self.backlog is None:
            self._shut()

    def end(self, reason: str, *, reset: bool = False) -> None:
        """Close at once and tell the owner; with `reset` the kernel drops what it still holds."""
        if self.closed or self._leaving:
            return
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        owner = self.owner
        self._close()
        owner.connection_ended(reason)

    def keep(self, data: bytes) -> None:
        """Send it when the client takes more, after what waits already; a client too far behind is cut off."""
        if self.closed or self._leaving:
            return
        if self.backlog is None:
            self.backlog = deque()
            WebSocket.backlogged += 1
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
            self._close()
            return
        self._backlog_bytes -= sent
        if sent != len(data):
            backlog.appendleft(data[sent:])
        elif not backlog:
            self.backlog = None
            WebSocket.backlogged -= 1
            self._unlisten(WRITE)
            if self._leaving:
                self._shut()

    def _readable(self, _fileno: int) -> None:
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.end(TRANSPORT_CLOSE)
            return
        self._take_frames(data)

    def _take_frames(self, data: bytes = b"") -> None:
        """Handle some frames; where there are more, all others have their turn first."""
        reader, self._has_turn = self._reader, False
        if self._paused:
            return
        try:
            for opcode, payload in reader.feed(data, FRAMES_PER_TURN):
                self._take_frame(opcode, payload)
        except frames.FrameError as error:
            is_flood = error.code == frames.POLICY_VIOLATION
            self._part(frames.close_frame(error.code), FLOOD if is_flood else TRANSPORT_ERROR)
        if reader.has_more and not self._paused:
            self._unlisten(READ)
            self.read()

    def _take_frame(self, opcode: int, payload: Any) -> None:
        if self.closed or self._leaving or self._farewell is not None:
            return
        if opcode == frames.PING:
            self.write(frames.frame(payload, frames.PONG))
        elif opcode == frames.CLOSE:
            self._part(frames.close_answer(payload), TRANSPORT_CLOSE)
        elif opcode != frames.PONG:
            self.owner.message_received(opcode, payload)

    def _part(self, farewell: bytes, reason: str) -> None:
        """Take nothing more, and leave it to the owner when to say farewell."""
        if self.closed or self._leaving or self._farewell is not None:
            return
        self._farewell = farewell
        self._unlisten(READ)
        self.owner.connection_ended(reason)

    def _shut(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._close()

    def _drain(self, _fileno: int) -> None:
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._drained_bytes += len(data)
        if not data or self._drained_bytes > LINGER_BYTES:
            self._close()

    def _listen(self, kind: str, callback: Any) -> None:
        if kind not in self._listeners:
            add = hubs.get_hub().add
            self._listeners[kind] = add(kind, self.socket.fileno(), callback, _ignore, _ignore)

    def _unlisten(self, kind: str) -> None:
        listener = self._listeners.pop(kind, None)
        if listener is not None:
            hubs.get_hub().remove(listener)

    def _close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.owner, self._reader = NOBODY, _DEAF
        if self._leaving:
            WebSocket.lingering -= 1
        if self.backlog is not None:
            WebSocket.backlogged -= 1
            self.backlog = None
        for kind in list(self._listeners):
            self._unlisten(kind)
        self.socket.close()


_DEAF = frames.FrameReader(0)


def _take(backlog: deque[bytes]) -> bytes:
    """The next piece to write: whole entries, up to a size the kernel may take at once."""
    parts, size = [], 0
    while backlog and size < WRITE_BYTES:
        parts.append(backlog.popleft())
        size += len(parts[-1])
    return b"".join(parts)
