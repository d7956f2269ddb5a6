"""One connection of the web server: its deadline, and the handler that takes a request from it and answers."""

import contextlib
import logging
import socket
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from app.web import problems
from app.web.problems import Refusal
from app.web.request_body import decode_chunks
from app.web.request_head import LONGEST_LINE, StrictHead

logger = logging.getLogger(__name__)

FIRST_REQUEST_SECONDS = 20.0
KEEPALIVE_SECONDS = 75
HEADER_SECONDS = 10.0
REQUEST_SECONDS = 120.0
GOODBYE_SECONDS = 0.5
GOODBYE_READS, GOODBYE_BYTES = 16, 16 * 1024
BLANK_LINES = (b"\r\n", b"\n")


class Connection(list[Any]):
    """`[address, socket, state]`, as eventlet.wsgi wants it, and its `deadline` in monotonic seconds.

    One that becomes a WebSocket is taken over by the fan-out at once, and ends here: no deadline is ever lifted.
    """

    __slots__ = ("deadline",)
    __hash__ = object.__hash__  # type: ignore[assignment] # a connection is itself, whatever it holds

    def __init__(self, address: Any, sock: Any) -> None:
        super().__init__((address, sock, "idle"))
        self.deadline = time.monotonic() + FIRST_REQUEST_SECONDS

    def __eq__(self, other: object) -> bool:
        return self is other

    @property
    def is_idle(self) -> bool:
        """Waits for a request of which nothing has arrived."""
        if self[2] != "idle":
            return False
        try:
            return not self[1].fd.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self[1].shutdown(socket.SHUT_RDWR)


class Handler(StrictHead):
    """Comes before eventlet.wsgi's handler: reads strictly, bounds each step's time, writes refusals as problems."""

    conn_state: Connection
    connection: Any
    rfile: Any
    wfile: Any
    server: Any
    close_connection: bool

    def handle_one_request(self) -> None:
        try:
            if self._read_head():
                self._answer()
        except Refusal as refusal:
            self._refuse(refusal)
        self.conn_state.deadline = time.monotonic() + KEEPALIVE_SECONDS

    def _read_head(self) -> bool:
        """Whether there is a request. Raises Refusal."""
        self.close_connection = True
        self.raw_requestline = self._read_request_line()
        if self.raw_requestline in BLANK_LINES:  # after a body, from old clients (RFC 9112, 2.2)
            self.raw_requestline = self._read_request_line()
        self.conn_state[2] = "request"
        if len(self.raw_requestline) >= LONGEST_LINE:
            raise Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "A request line may have 8 KiB.")
        return self.raw_requestline.endswith(b"\n") and self.parse_request()

    def _read_request_line(self) -> bytes:
        line: bytes = super()._read_request_line() or b""  # type: ignore[misc]
        self.conn_state.deadline = time.monotonic() + HEADER_SECONDS
        return line

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()  # type: ignore[misc]
        self.conn_state.deadline = time.monotonic() + REQUEST_SECONDS
        if environ["wsgi.input"].chunked_input:
            decode_chunks(environ, self._close_afterwards)
        return environ

    def _close_afterwards(self) -> None:
        self.close_connection = True

    def _answer(self) -> None:
        self.environ = self.get_environ()
        self.application = self.server.app
        self.handle_one_response()  # type: ignore[attr-defined]

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with a problem, and end the connection once the client had time to read it."""
        self.close_connection = True
        logger.debug("web.bad_request", extra={"detail": refusal.detail[:200]})
        status, headers, body = problems.answer(refusal.status, refusal.detail, problems.request_id(""))
        headers += [("Date", formatdate(usegmt=True)), ("Connection", "close")]
        head = "".join(f"{name}: {value}\r\n" for name, value in headers)
        with contextlib.suppress(OSError):
            self.wfile.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body)
            self.wfile.flush()
            self._let_read()

    def _let_read(self) -> None:
        """A connection closed with bytes unread is reset, and the answer with it: read some of what still comes."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(GOODBYE_SECONDS)
        for _ in range(GOODBYE_READS):
            if not self.connection.recv(GOODBYE_BYTES):
                return

    def finish(self) -> None:
        """Let go of the connection even when the client is gone: its file handle is free once both files are closed."""
        try:
            super().finish()  # type: ignore[misc]
        finally:
            for file in (self.wfile, self.rfile):
                with contextlib.suppress(OSError, ValueError):
                    file.close()
