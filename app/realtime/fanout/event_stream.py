"""A stream of Server-Sent Events (HTML standard, 9.2): its messages as bytes, and its connection.

The response is chunked, because clients pass on each chunk at once but may wait for more bytes of any other response.
HTTP/1.0, which some proxies speak, has no chunks: such a response ends with the connection.
"""

import socket
from typing import Any

from app.realtime.fanout.direct_socket import MAX_BACKLOG_BYTES, READ, DirectSocket
from app.realtime.fanout.frames import CloseReason

HEARTBEAT = b":\n\n"
MAX_INPUT_BYTES = 64 * 1024
SILENCE_MS = 45_000  # without an acknowledgement of what was sent; as long as for a WebSocket
LAST_CHUNK = b"0\r\n\r\n"
_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")  # in JSON they are white space: strings have them escaped


def event_frame(event: str, data: bytes, seq: int | None = None) -> bytes:
    """One message; `data` is JSON."""
    head = f"event: {event}\n" if seq is None else f"event: {event}\nid: {seq}\n"
    return head.encode() + b"data: " + data.translate(_LINE_ENDS) + b"\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class EventStream(DirectSocket):
    """One stream; it has no socket until it is opened. What its client sends is discarded, up to a limit.

    `sid` names it as a member of its room. `owner` gets `connection_ended(reason)`, also when the server ends it.
    """

    __slots__ = ("_received_bytes", "is_chunked", "sid")

    def __init__(self, sid: str, owner: Any) -> None:
        self.sid, self.owner = sid, owner
        self.closed = self._is_closing = False
        self._received_bytes = -1

    @property
    def is_open(self) -> bool:
        return self._received_bytes >= 0 and not self.closed

    def open(self, sock: socket.socket, head: bytes, *, is_chunked: bool) -> None:
        """Begin the response on a socket that was taken over from the WSGI server."""
        if self.closed:  # its token was revoked meanwhile
            sock.close()
            return
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_MS)
        super().__init__(sock, self.owner)
        self.is_chunked = is_chunked
        self._received_bytes = 0
        self.listen(READ, self._on_readable)
        self.write(head)

    def write_message(self, message: bytes) -> None:
        self.write(chunk(message) if self.is_chunked else message)

    def write_state(self, data: bytes) -> None:
        """Send an encoded snapshot, however large, in place of what still waits: it makes that obsolete."""
        if self.backlog is not None:
            while len(self.backlog) > 1:  # the first entry may have been sent in part
                self._backlog_bytes -= len(self.backlog.pop())
        self.max_backlog_bytes = MAX_BACKLOG_BYTES + self._backlog_bytes + len(data)
        self.write(data)
        self.max_backlog_bytes = MAX_BACKLOG_BYTES + self._backlog_bytes

    def end(self, reason: str, last: bytes = b"") -> None:
        """Send what waits and the last message, and end the response."""
        owner = self.owner
        if owner is None or self.closed:
            return
        if self.is_open:
            self.close_after((chunk(last) if last else b"") + LAST_CHUNK if self.is_chunked else last)
        else:
            self.closed, self.owner = True, None
        owner.connection_ended(reason)

    def _on_readable(self, _fileno: int) -> None:
        data = self.receive()
        if data is None:
            return
        self._received_bytes += len(data)
        if not data:
            self.abort(CloseReason.TRANSPORT_CLOSE)
        elif self._received_bytes > MAX_INPUT_BYTES:
            self.abort(CloseReason.FLOOD, reset=True)
