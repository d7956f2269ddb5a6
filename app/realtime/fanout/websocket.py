"""A WebSocket without a greenlet: eventlet's hub calls it when its socket becomes readable or writable.

It replaces `eventlet.websocket`, which keeps a greenlet per connection, unmasks byte by byte and blocks on write.
Writes never block: up to 1 MiB that the kernel does not accept waits in the backlog and is sent first.
Each read handles a few frames and counts them, so a flooding client delays no other and is disconnected.
"""

import socket
import struct
import sys
from collections import deque
from typing import Any

from eventlet import hubs
from eventlet.hubs.hub import READ, WRITE

from app.realtime.fanout import frames
from app.realtime.fanout.frames import CloseCode, CloseReason

MAX_BACKLOG_BYTES = 1024 * 1024
READ_BYTES, WRITE_BYTES, FRAMES_PER_YIELD = 64 * 1024, 128 * 1024, 32
LINGER_SECONDS = 2.0
MAX_LINGER_BYTES, MAX_LINGERING = 16 * 1024 * 1024, 1000
_RESET = struct.pack("ii", 1, 0)


def _ignore(*_: Any) -> None: ...


class WebSocket:
    """One server-side WebSocket. `send` is its socket's `send`; the class attribute `backlogged` counts slow clients.

    `owner` is the Engine.IO connection. The hub calls its `message_received(opcode, payload)`, and at the end
    `connection_ended(reason)`; neither may block. The owner then sends its last replies and calls `close`.
    """

    __slots__ = (
        "_backlog_bytes", "_close_frame", "_discarded_bytes", "_is_closing", "_is_paused", "_is_scheduled",
        "_listeners", "_reader", "backlog", "closed", "owner", "send", "socket",
    )  # fmt: skip

    backlogged = 0
    lingering = 0

    def __init__(self, sock: socket.socket, owner: Any, max_length: int, frame_budget: int = sys.maxsize) -> None:
        self.socket, self.owner = sock, owner
        self.send = sock.send
        self._reader = frames.FrameReader(max_length, frame_budget)
        self._listeners: dict[str, Any] = {}
        self._backlog_bytes = self._discarded_bytes = 0
        self._close_frame: bytes | None = None  # set once the client's input is no longer handled
        self._is_scheduled = self._is_paused = self._is_closing = False
        self.backlog: deque[bytes] | None = None
        self.closed = False

    def write(self, data: bytes) -> None:
        """Send whole frames now, or once the client accepts them. Never raises and never blocks."""
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
            self.buffer(data[sent:])

    def buffer(self, data: bytes) -> None:
        """Append to the backlog. A client with more than 1 MiB there is disconnected."""
        if self.closed or self._is_closing:
            return
        if self.backlog is None:
            self.backlog = deque()
            WebSocket.backlogged += 1
            self._listen(WRITE, self._on_writable)
        self.backlog.append(data)
        self._backlog_bytes += len(data)
        if self._backlog_bytes > MAX_BACKLOG_BYTES:
            self.abort(CloseReason.SLOW_CLIENT, reset=True)

    def resume(self) -> None:
        """Start or continue reading; frames received before `pause` are handled first."""
        self._is_paused = False
        if self._close_frame is not None or self._is_scheduled:
            return
        if self._reader.has_more:
            self._is_scheduled = True
            hubs.get_hub().schedule_call_global(0, self._read_frames)
        else:
            self._listen(READ, self._on_readable)

    def pause(self) -> None:
        """Leave input in the kernel while the client sends faster than its events are handled."""
        self._is_paused = True
        self._unlisten(READ)

    def close(self, code: int = CloseCode.NORMAL) -> None:
        """Close with a close frame (RFC 6455, 7.1.1): send the backlog first, then discard remaining input.

        The kernel resets a connection that is closed with unread input, which loses the last bytes written.
        """
        if self.closed or self._is_closing:
            return
        self._close_frame = self._close_frame or frames.close_frame(code)
        self.write(self._close_frame)
        if self.closed or WebSocket.lingering >= MAX_LINGERING:
            self._release()
            return
        self._is_closing = True
        WebSocket.lingering += 1
        self.owner, self._reader = None, frames.FrameReader(0)
        self._unlisten(READ)
        self._listen(READ, self._discard_input)
        hubs.get_hub().schedule_call_global(LINGER_SECONDS, self._release)
        if self.backlog is None:
            self._shut_down_writing()

    def abort(self, reason: str, *, reset: bool = False) -> None:
        """Close at once and notify the owner; with `reset` the kernel drops its send buffer."""
        if self.closed or self._is_closing:
            return
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        owner = self.owner
        self._release()
        owner.connection_ended(reason)

    def _on_writable(self, _fileno: int) -> None:
        """Send whole entries of the backlog, about as much as the kernel accepts at once."""
        backlog = self.backlog
        if backlog is None:
            return
        parts, size = [], 0
        while backlog and size < WRITE_BYTES:
            parts.append(backlog.popleft())
            size += len(parts[-1])
        data = b"".join(parts)
        try:
            sent = self.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.abort(CloseReason.TRANSPORT_ERROR)
            self._release()
            return
        self._backlog_bytes -= sent
        if sent != len(data):
            backlog.appendleft(data[sent:])
        elif not backlog:
            self.backlog = None
            WebSocket.backlogged -= 1
            self._unlisten(WRITE)
            if self._is_closing:
                self._shut_down_writing()

    def _receive(self) -> bytes | None:
        """Bytes from the socket, b"" at its end, None when there are none yet."""
        try:
            return self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _on_readable(self, _fileno: int) -> None:
        data = self._receive()
        if data:
            self._read_frames(data)
        elif data is not None:
            self.abort(CloseReason.TRANSPORT_CLOSE)

    def _read_frames(self, data: bytes = b"") -> None:
        """Handle some frames; the rest is scheduled behind all other connections."""
        reader, self._is_scheduled = self._reader, False
        if self._is_paused:
            return
        try:
            for opcode, payload in reader.feed(data, FRAMES_PER_YIELD):
                if self._close_frame is not None:
                    break
                if opcode in (frames.TEXT, frames.BINARY):
                    self.owner.message_received(opcode, payload)
                elif opcode == frames.PING:
                    self.write(frames.frame(payload, frames.PONG))
                elif opcode == frames.CLOSE:
                    self._begin_close(frames.close_reply(payload), CloseReason.TRANSPORT_CLOSE)
        except frames.FrameError as error:
            self._begin_close(frames.close_frame(error.code), error.reason)
        if reader.has_more and not self._is_paused:
            self._unlisten(READ)
            self.resume()

    def _begin_close(self, close_frame: bytes, reason: str) -> None:
        """Stop handling input. The owner sends the close frame by calling `close`."""
        if self._close_frame is None:
            self._close_frame = close_frame
            self._unlisten(READ)
            self.owner.connection_ended(reason)

    def _shut_down_writing(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._release()

    def _discard_input(self, _fileno: int) -> None:
        data = self._receive()
        self._discarded_bytes += len(data or b"")
        if data == b"" or self._discarded_bytes > MAX_LINGER_BYTES:
            self._release()

    def _listen(self, kind: str, callback: Any) -> None:
        if kind not in self._listeners:  # the read or write that follows reports the errors that are ignored here
            self._listeners[kind] = hubs.get_hub().add(kind, self.socket.fileno(), callback, _ignore, _ignore)

    def _unlisten(self, kind: str) -> None:
        if (listener := self._listeners.pop(kind, None)) is not None:
            hubs.get_hub().remove(listener)

    def _release(self) -> None:
        """Close the socket, stop listening, and let the owner go, which would be kept by a reference cycle."""
        if self.closed:
            return
        self.closed = True
        self.owner, self._close_frame = None, b""
        if self._is_closing:
            WebSocket.lingering -= 1
        if self.backlog is not None:
            WebSocket.backlogged -= 1
            self.backlog = None
        for kind in list(self._listeners):
            self._unlisten(kind)
        self.socket.close()
