"""One connection of the web server: its deadline, and the handler that reads its requests and writes the responses.

The handler overrides eventlet.wsgi's, whose only limit is a socket timeout: it restarts with every byte received.
"""

import contextlib
import io
import logging
import math
import socket
import time
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from typing import Any

from app.core import runtime
from app.http import problems
from app.http.problems import RejectedRequest
from app.http.server.request_head import MAX_LINE, StrictHead
from app.http.server.streams import SocketStream, decode_chunks
from app.observability.requests import request_id

logger = logging.getLogger(__name__)

FIRST_REQUEST_SECONDS = 20.0
KEEPALIVE_SECONDS = 75
HEADER_SECONDS = 10.0
REQUEST_SECONDS = 120.0
LINGER_SECONDS = 2.0
MAX_LINGER_BYTES, LINGER_READ_BYTES = 16 * 1024 * 1024, 64 * 1024
MAX_LINGERING = 1000
MAX_PIPELINED = 100
OUTPUT_BUFFER_BYTES = 16 * 1024
SOCKETS = "/socket.io/"
BLANK_LINES, MAX_BLANK_LINE = (b"\r\n", b"\n"), 2


class Connection(list[Any]):
    """`[address, socket, state]` as eventlet.wsgi expects it, with a `deadline` in monotonic seconds.

    The fan-out detaches the socket of a WebSocket, which ends this connection. Only stock Engine.IO WebSockets
    (`fanout/manager.py`) keep theirs; eventlet then calls `remove_deadline`.
    """

    __slots__ = ("deadline",)
    __eq__, __hash__ = object.__eq__, object.__hash__  # type: ignore[assignment] # by identity, not by content

    def __init__(self, address: Any, sock: Any) -> None:
        super().__init__((address, sock, "idle"))
        self.deadline = time.monotonic() + FIRST_REQUEST_SECONDS

    def is_idle(self) -> bool:
        """Whether it waits for a request of which no byte has arrived."""
        try:
            return self[2] == "idle" and not self[1].fd.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError as error:
            return isinstance(error, BlockingIOError)

    def extend_deadline(self) -> None:
        """Give a response that is sent in parts the time of another request for its next part."""
        self.deadline = time.monotonic() + REQUEST_SECONDS

    def remove_deadline(self) -> None:
        self.deadline, self[2] = math.inf, "idle"

    def shut_down(self) -> None:
        with contextlib.suppress(OSError):
            self[1].shutdown(socket.SHUT_RDWR)


class Handler(StrictHead):
    """Precedes eventlet.wsgi's handler: strict parsing, a time limit for each step, refusals as problem documents."""

    conn_state: Connection
    request: Any
    connection: Any
    wfile: Any
    server: Any
    close_connection: bool

    _lingering = 0  # in this process
    _pipelined = 0  # consecutive requests received before the response to the previous one
    _has_client_left = False

    def setup(self) -> None:
        """Replaces eventlet's, which opens two files more."""
        self.connection = self.request
        own_address = self.connection.getsockname()  # `get_environ` asks for it with each request: a system call
        self.connection.getsockname = lambda: own_address
        if hasattr(socket, "TCP_QUICKACK"):  # not on macOS
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self.rfile = io.BufferedReader(SocketStream(self.connection, "r"))
        self.wfile = io.BufferedWriter(SocketStream(self.connection, "w"), OUTPUT_BUFFER_BYTES)

    def handle_one_request(self) -> None:
        try:
            if self._read_head():
                self._count_pipelined()
                self.environ = self.get_environ()
                self.application = self.server.app
                self.handle_one_response()  # type: ignore[attr-defined]
                if "HTTP_TRANSFER_ENCODING" in self.environ and not self.close_connection:
                    self._pipelined += self._available() > 0
                if not self.close_connection:
                    runtime.sleep(0)  # serve other connections before a request that is already here
            else:
                self._has_client_left = True
        except RejectedRequest as refusal:
            self._refuse(refusal)
        self.conn_state.deadline = time.monotonic() + KEEPALIVE_SECONDS

    def _read_head(self) -> bool:
        """Read the next request's head; False at the end of the connection. Raises RejectedRequest."""
        self.close_connection = True
        self.raw_requestline = self._read_request_line()
        if self.raw_requestline in BLANK_LINES:  # old clients send one after a body (RFC 9112, 2.2)
            self.raw_requestline = self._read_request_line()
        self.conn_state[2] = "request"
        if len(self.raw_requestline) >= MAX_LINE:
            raise RejectedRequest(HTTPStatus.REQUEST_URI_TOO_LONG, "A request line may have at most 8 KiB.")
        return self.raw_requestline.endswith(b"\n") and self.parse_request()

    def _read_request_line(self) -> bytes:
        line: bytes = super()._read_request_line() or b""  # type: ignore[misc]
        self.conn_state.deadline = time.monotonic() + HEADER_SECONDS
        return line

    def _count_pipelined(self) -> None:
        """Raises RejectedRequest for a client that sends too many requests without waiting for the responses."""
        length = int(self.headers.get("content-length") or 0)
        if length > MAX_LINGER_BYTES:
            self.close_connection = True  # rather than read and discard all of it
        if self.headers.get("transfer-encoding") is None:  # with chunks the length is unknown until they are read
            self._pipelined = self._pipelined + 1 if self._available() > length + MAX_BLANK_LINE else 0
        if self._pipelined > MAX_PIPELINED:
            logger.warning("connection.flooded", extra={"requests": self._pipelined})
            raise RejectedRequest(
                429, f"At most {MAX_PIPELINED} consecutive requests may be sent before their responses are read."
            )

    def _available(self) -> int:
        timeout = self.connection.gettimeout()
        self.connection.settimeout(0)
        try:
            return len(self.rfile.peek(1))
        except OSError:
            return 0
        finally:
            self.connection.settimeout(timeout)

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()  # type: ignore[misc]
        environ["SERVER_PROTOCOL"] = self.request_version
        if self.request_version == "HTTP/1.0" or not self.path.startswith(SOCKETS):
            environ.pop("HTTP_UPGRADE", None)  # ignored (RFC 9110, 7.8); Flask would match another kind of route
        elif "HTTP_UPGRADE" in environ:
            environ["eventlet.set_idle"] = self.conn_state.remove_deadline
        self.conn_state.extend_deadline()
        environ["dashboard.extend_deadline"] = self.conn_state.extend_deadline
        if environ["wsgi.input"].chunked_input:
            decode_chunks(environ, partial(setattr, self, "close_connection", True))
        return environ

    def _refuse(self, refusal: RejectedRequest) -> None:
        """Respond with a problem document and close: the start of the next request is unknown."""
        self.close_connection = True
        logger.debug("web.request_refused", extra={"detail": refusal.detail[:200]})
        status, headers, body = problems.raw_response(refusal.status, refusal.detail, request_id(""))
        headers += [("Date", formatdate(usegmt=True)), ("Connection", "close")]
        if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
            headers.append(("Retry-After", "1"))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers)
        with contextlib.suppress(OSError):
            self.wfile.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body)

    def finish(self) -> None:
        """Release the connection, also of a client that is gone: closing both files frees its file descriptor."""
        try:
            if not self._has_client_left and self.connection.fileno() >= 0 and Handler._lingering < MAX_LINGERING:
                self._linger()
            super().finish()  # type: ignore[misc]
        finally:
            for file in (self.wfile, self.rfile):
                with contextlib.suppress(OSError, ValueError):
                    file.close()

    def _linger(self) -> None:
        """Discard further input: closing with unread bytes would reset the connection and lose the response."""
        Handler._lingering += 1
        end, size = time.monotonic() + LINGER_SECONDS, 0
        try:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(LINGER_SECONDS)
            while size < MAX_LINGER_BYTES and time.monotonic() < end:
                received = len(self.connection.recv(LINGER_READ_BYTES))
                if not received:
                    break
                size += received
                runtime.sleep(0)
        except OSError as error:  # the client is too slow, or gone
            logger.debug("connection.lost", extra={"error": str(error)})
        finally:
            Handler._lingering -= 1
