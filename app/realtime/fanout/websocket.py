"""A WebSocket without a greenlet.

It replaces `eventlet.websocket`, which keeps a greenlet per connection, unmasks byte by byte and blocks on write.
Each read handles a few frames and counts them, so a flooding client delays no other and is disconnected.
"""

import socket
import sys
from typing import Any

from app.realtime.fanout import frames
from app.realtime.fanout.direct_socket import READ, DirectSocket
from app.realtime.fanout.frames import CloseCode, CloseReason

FRAMES_PER_YIELD = 32


class WebSocket(DirectSocket):
    """One server-side WebSocket.

    `owner` is the Engine.IO connection. The hub calls its `message_received(opcode, payload)`, and at the end
    `connection_ended(reason)`; neither may block. The owner then sends its last replies and calls `close`.
    """

    __slots__ = ("_close_frame", "_is_paused", "_is_scheduled", "_reader")

    def __init__(self, sock: socket.socket, owner: Any, max_length: int, frame_budget: int = sys.maxsize) -> None:
        super().__init__(sock, owner)
        self._reader = frames.FrameReader(max_length, frame_budget)
        self._close_frame: bytes | None = None  # set once the client's input is no longer handled
        self._is_scheduled = self._is_paused = False

    def resume(self) -> None:
        """Start or continue reading; frames received before `pause` are handled first."""
        self._is_paused = False
        if self._close_frame is not None or self._is_scheduled:
            return
        if self._reader.has_more:
            self._is_scheduled = True
            self.schedule(0, self._read_frames)
        else:
            self.listen(READ, self._on_readable)

    def pause(self) -> None:
        """Leave input in the kernel while the client sends faster than its events are handled."""
        self._is_paused = True
        self.unlisten(READ)

    def close(self, code: int = CloseCode.NORMAL) -> None:
        """Close with a close frame (RFC 6455, 7.1.1)."""
        if self.closed or self._is_closing:
            return
        self._close_frame = self._close_frame or frames.close_frame(code)
        self._reader = frames.FrameReader(0)
        self.close_after(self._close_frame)

    def release(self) -> None:
        super().release()
        self._close_frame = b""

    def _on_readable(self, _fileno: int) -> None:
        data = self.receive()
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
            self.unlisten(READ)
            self.resume()

    def _begin_close(self, close_frame: bytes, reason: str) -> None:
        """Stop handling input. The owner sends the close frame by calling `close`."""
        if self._close_frame is None:
            self._close_frame = close_frame
            self.unlisten(READ)
            self.owner.connection_ended(reason)
