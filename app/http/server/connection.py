"""One connection of the web server: its deadline, and the handler that takes a request from it and answers."""

import contextlib
import io
import logging
import socket
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from app.core import runtime
from app.http import problems
from app.http.problems import RejectedRequest
from app.http.server.request_body import decode_chunks
from app.http.server.request_head import MAX_LINE, StrictHead
from app.observability.requests import request_id

logger = logging.getLogger(__name__)

FIRST_REQUEST_SECONDS = 20.0
KEEPALIVE_SECONDS = 75
HEADER_SECONDS = 10.0
REQUEST_SECONDS = 120.0
LINGER_SECONDS = 2.0
LINGER_BYTES, LINGER_READ_BYTES = 16 * 1024 * 1024, 64 * 1024
MAX_LINGERING = 1000
READS_PER_YIELD = 16
MAX_PIPELINED = 100
SOCKETS = "/socket.io/"
BLANK_LINES, MAX_BLANK_LINE = (b"\r\n", b"\n"), 2


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


class FairReader(io.RawIOBase):
    """Reads from a client; others have their turn now and then, also while the client sends faster than is read."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__()
        self._raw, self._reads = raw, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._reads += 1
        if self._reads % READS_PER_YIELD == 0:
            runtime.sleep(0)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class Handler(StrictHead):
    """Comes before eventlet.wsgi's handler: reads strictly, bounds each step's time, writes refusals as problems."""

    conn_state: Connection
    connection: Any
    rfile: Any
    wfile: Any
    server: Any
    close_connection: bool

    _lingering = 0  # of the process
    _pipelined = 0  # requests in a row that came before the answer to the one before
    _was_left = False

    def setup(self) -> None:
        super().setup()  # type: ignore[misc]
        self.rfile = io.BufferedReader(FairReader(self.rfile.detach()))

    def handle_one_request(self) -> None:
        try:
            if self._read_head():
                self._count_pipelined()
                self._answer()
                runtime.sleep(0)  # the next request may be here already: others have their turn before it
            else:
                self._was_left = True
        except RejectedRequest as refusal:
            self._refuse(refusal)
        self.conn_state.deadline = time.monotonic() + KEEPALIVE_SECONDS

    def _count_pipelined(self) -> None:
        """Raises RejectedRequest for who sends request after request without waiting for answers."""
        is_chunked = self.headers.get("transfer-encoding") is not None  # how long it is shows when it has been read
        length = int(self.headers.get("content-length") or 0)
        if length > LINGER_BYTES:
            self.close_connection = True  # rather than read all of it away
        if not is_chunked:
            self._pipelined = self._pipelined + 1 if self._arrived() > length + MAX_BLANK_LINE else 0
        if self._pipelined > MAX_PIPELINED:
            logger.warning("connection.flooding", extra={"requests": self._pipelined})
            raise RejectedRequest(
                429, f"At most {MAX_PIPELINED} requests in a row may come before the answers are read."
            )

    def _arrived(self) -> int:
        """How many bytes are here to be read, without waiting."""
        timeout = self.connection.gettimeout()
        self.connection.settimeout(0)
        try:
            return len(self.rfile.peek(1))
        except OSError:
            return 0
        finally:
            self.connection.settimeout(timeout)

    def _read_head(self) -> bool:
        """Whether there is a request. Raises RejectedRequest."""
        self.close_connection = True
        self.raw_requestline = self._read_request_line()
        if self.raw_requestline in BLANK_LINES:  # after a body, from old clients (RFC 9112, 2.2)
            self.raw_requestline = self._read_request_line()
        self.conn_state[2] = "request"
        if len(self.raw_requestline) >= MAX_LINE:
            raise RejectedRequest(HTTPStatus.REQUEST_URI_TOO_LONG, "A request line may have 8 KiB.")
        return self.raw_requestline.endswith(b"\n") and self.parse_request()

    def _read_request_line(self) -> bytes:
        line: bytes = super()._read_request_line() or b""  # type: ignore[misc]
        self.conn_state.deadline = time.monotonic() + HEADER_SECONDS
        return line

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()  # type: ignore[misc]
        if self.request_version == "HTTP/1.0" or not self.path.startswith(SOCKETS):
            environ.pop("HTTP_UPGRADE", None)  # to be ignored (RFC 9110, 7.8): Flask would look for another route
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
        if "HTTP_TRANSFER_ENCODING" in self.environ and not self.close_connection:
            self._pipelined += self._arrived() > 0

    def _refuse(self, refusal: RejectedRequest) -> None:
        """Answer with a problem; the connection ends, for where the next request begins is unsure."""
        self.close_connection = True
        logger.debug("web.bad_request", extra={"detail": refusal.detail[:200]})
        status, headers, body = problems.raw_response(refusal.status, refusal.detail, request_id(""))
        headers += [("Date", formatdate(usegmt=True)), ("Connection", "close")]
        if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
            headers.append(("Retry-After", "1"))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers)
        with contextlib.suppress(OSError):
            self.wfile.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body)

    def finish(self) -> None:
        """Let go of the connection even when the client is gone: its file handle is free once both files are closed."""
        try:
            if not self._was_left and self.connection.fileno() >= 0 and Handler._lingering < MAX_LINGERING:
                self._linger()
            super().finish()  # type: ignore[misc]
        finally:
            for file in (self.wfile, self.rfile):
                with contextlib.suppress(OSError, ValueError):
                    file.close()

    def _linger(self) -> None:
        """Read away what the client still sends: a connection closed with bytes unread is reset, its answer with it."""
        Handler._lingering += 1
        end, size = time.monotonic() + LINGER_SECONDS, 0
        try:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(LINGER_SECONDS)
            while size < LINGER_BYTES and time.monotonic() < end and (data := self.connection.recv(LINGER_READ_BYTES)):
                size += len(data)
                runtime.sleep(0)
        except OSError as error:  # too slow, or gone
            logger.debug("connection.lost", extra={"error": str(error)})
        finally:
            Handler._lingering -= 1
