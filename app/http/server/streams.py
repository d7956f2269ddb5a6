"""The streams of a connection: the socket, read fairly and shut down by a failed write, and chunked request bodies.

eventlet.wsgi's own: reading never yields while input is available, a chunk's size line has no length limit, and an
unsent response stays in memory until garbage collection.
"""

import contextlib
import errno
import io
import re
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from app.core import runtime

READS_PER_YIELD = 16
MAX_LINE = 4096
MAX_TRAILERS = 32
MAX_ENCODED_BYTES = 8 * 1024 * 1024
CHUNKS_PER_YIELD = 100
CHUNK_COST = 64  # in bytes: a million chunks of one byte would take a second of CPU

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n")


class SocketStream(socket.SocketIO):
    """One direction of a connection. Reading yields now and then, also while the client sends faster than it is read.

    A failed write shuts the connection down: another write would wait for its timeout again. eventlet's hub keeps the
    TimeoutError that it raises in a frame of that error's own traceback. This reference cycle holds all frames down to
    the response body (10 MB a second with 40 clients that do not read), so it is broken here.
    """

    _sock: Any
    _reads = 0

    def readinto(self, buffer: Any) -> int | None:
        self._reads += 1
        if self._reads % READS_PER_YIELD == 0:
            runtime.sleep(0)
        return super().readinto(buffer)

    def write(self, data: Any) -> int | None:
        try:
            return super().write(data)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            error.__traceback__ = None  # breaks the cycle
            raise BrokenPipeError(errno.EPIPE, f"the client does not read: {error}") from None


class BrokenBody(OSError):
    """The chunked body is malformed, incomplete or too long."""


class ChunkedBody(io.RawIOBase):
    """Decodes a chunked body (RFC 9112, 7.1). `on_broken` is called before BrokenBody: the connection is unusable then.

    Limits the encoded bytes, including chunk sizes and trailers. The application limits the decoded length.
    """

    def __init__(self, stream: Any, on_broken: Callable[[], None]) -> None:
        super().__init__()
        self._stream, self._on_broken = stream, on_broken
        self._left_in_chunk = self._chunks = 0
        self._budget = MAX_ENCODED_BYTES
        self._has_ended = self._is_broken = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._is_broken:
            raise BrokenBody("the body is broken")
        if not self._left_in_chunk and not self._has_ended:
            self._begin_chunk()
        size = min(len(buffer), self._left_in_chunk)
        if size == 0:
            return 0
        self._spend(size)
        if self._stream.readinto(memoryview(buffer)[:size]) < size:
            self._fail("the body is incomplete")
        self._left_in_chunk -= size
        if not self._left_in_chunk and self._read_line() != b"\r\n":
            self._fail("a chunk is longer than its size")
        return size

    def _begin_chunk(self) -> None:
        """Read the line that begins a chunk, and the trailers after the last one."""
        self._chunks += 1
        if not self._chunks % CHUNKS_PER_YIELD:
            runtime.sleep(0)
        self._spend(CHUNK_COST)
        size = _SIZE.fullmatch(self._read_line())
        if size is None:
            self._fail("a chunk does not begin with its size")
        self._left_in_chunk = int(size[1], 16)
        self._has_ended = self._left_in_chunk == 0
        trailers = 0
        while self._has_ended and (line := self._read_line()) != b"\r\n":
            trailers += 1
            if trailers > MAX_TRAILERS or not _TRAILER.fullmatch(line):
                self._fail("there are too many trailers, or one is not `name: value`")

    def _read_line(self) -> bytes:
        line: bytes = self._stream.readline(MAX_LINE)
        self._spend(len(line))
        return line

    def _spend(self, size: int) -> None:
        self._budget -= size
        if self._budget < 0:
            self._fail("the body is too long")

    def _fail(self, detail: str) -> NoReturn:
        self._is_broken = True
        self._on_broken()
        raise BrokenBody(detail)


def decode_chunks(environ: dict[str, Any], on_broken: Callable[[], None]) -> None:
    """Replace eventlet's decoder: its `Input` reads a ChunkedBody like a body with a length beyond reach."""
    body = environ["wsgi.input"]
    body.rfile = io.BufferedReader(ChunkedBody(body.rfile, on_broken))
    body.chunked_input, body.content_length = False, MAX_ENCODED_BYTES
    environ["wsgi.input_terminated"] = True
