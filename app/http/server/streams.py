"""The streams of a connection: fair reading, chunked request bodies (RFC 9112, 7.1) and output that fails once.

eventlet.wsgi's own: reading never yields while input is available, a chunk's size line has no length limit, and an
unsent response stays in memory until garbage collection.
"""

import contextlib
import io
import re
import socket
from collections.abc import Callable, Iterable, Iterator
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


class FairReader(io.RawIOBase):
    """Reads from a client and yields now and then, also while the client sends faster than it is read."""

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


class Output:
    """A connection's output. After a failed write it is shut down: another write would wait for its timeout again.

    eventlet's hub keeps the TimeoutError that it raises in a frame of that error's own traceback. This reference cycle
    holds all frames down to the response body (10 MB a second with 40 clients that do not read), so it is broken here.
    """

    def __init__(self, file: Any, connection: Any) -> None:
        self._file, self._connection = file, connection

    def write(self, data: bytes) -> None:
        with self._shut_down_on_error():
            self._file.write(data)

    def writelines(self, lines: Iterable[bytes]) -> None:
        with self._shut_down_on_error():
            self._file.writelines(lines)

    def flush(self) -> None:
        with self._shut_down_on_error():
            self._file.flush()

    @contextlib.contextmanager
    def _shut_down_on_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            error.__traceback__ = None  # breaks the cycle
            raise ConnectionAbortedError(f"the client does not read: {error}") from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class BrokenBody(OSError):
    """The chunked body is malformed, incomplete or too long."""


class ChunkedBody:
    """Decodes a chunked body from `stream`. `on_broken` is called before BrokenBody: the connection is unusable then.

    Limits the encoded bytes, including chunk sizes and trailers. The application limits the decoded length.
    """

    def __init__(self, stream: Any, on_broken: Callable[[], None]) -> None:
        self._stream, self._on_broken = stream, on_broken
        self._left_in_chunk = 0
        self._budget = MAX_ENCODED_BYTES
        self._chunks = 0
        self._has_ended = self._is_broken = False

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; fewer only at the end, after which it is empty."""
        wanted = MAX_ENCODED_BYTES if size < 0 else size
        parts = []
        while wanted > 0 and (self._left_in_chunk or self._next_chunk()):
            part = self._read_part(min(wanted, self._left_in_chunk))
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def readline(self, size: int = -1) -> bytes:
        """One line, as WSGI demands. Nothing here reads a body by lines, so it may be slow."""
        line = bytearray()
        while (size < 0 or len(line) < size) and not line.endswith(b"\n") and (byte := self.read(1)):
            line += byte
        return bytes(line)

    def readlines(self, hint: int = -1) -> list[bytes]:
        del hint  # may be ignored (PEP 3333)
        return list(iter(self.readline, b""))

    def _next_chunk(self) -> bool:
        """Read the line that begins a chunk; False at the end, after the trailers."""
        if self._is_broken:
            raise BrokenBody("the body is broken")
        if self._has_ended:
            return False
        self._chunks += 1
        if not self._chunks % CHUNKS_PER_YIELD:
            runtime.sleep(0)
        self._spend(CHUNK_COST)
        size = _SIZE.fullmatch(self._read_line())
        if size is None:
            self._fail("a chunk does not begin with its size")
        self._left_in_chunk = int(size[1], 16)
        self._has_ended = self._left_in_chunk == 0
        if self._has_ended:
            self._skip_trailers()
        return not self._has_ended

    def _read_part(self, size: int) -> bytes:
        self._spend(size)
        part: bytes = self._stream.read(size)
        if len(part) < size:
            self._fail("the body is incomplete")
        self._left_in_chunk -= size
        if not self._left_in_chunk and self._read_line() != b"\r\n":
            self._fail("a chunk is longer than its size")
        return part

    def _skip_trailers(self) -> None:
        for _ in range(MAX_TRAILERS):
            line = self._read_line()
            if line == b"\r\n":
                return
            if not _TRAILER.fullmatch(line):
                self._fail("a trailer is not `name: value`")
        self._fail("there are too many trailers")

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
    body.rfile = ChunkedBody(body.rfile, on_broken)
    body.chunked_input, body.content_length = False, MAX_ENCODED_BYTES
    environ["wsgi.input_terminated"] = True
