"""A request's body that comes in chunks (RFC 9112, 7.1): taken apart as it is read, and bounded all the way."""

import re
from collections.abc import Callable
from typing import Any, NoReturn

from app.core import runtime

MAX_LINE = 4096
MAX_TRAILERS = 32
MAX_ON_THE_WIRE = 8 * 1024 * 1024
CHUNKS_AT_A_TIME = 100
CHUNK_COST = 64  # in bytes: a million chunks of a byte would be a second's work

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n")


class BrokenBody(OSError):
    """The chunks make no sense, do not end, or are far more than anybody needs."""


class Chunks:
    """What the chunks on `stream` hold. `on_broken` is called before BrokenBody is raised: nothing more is readable.

    Bytes on the wire are bounded here, chunk sizes and trailers included; how long a body may be is the app's to say.
    """

    def __init__(self, stream: Any, on_broken: Callable[[], None]) -> None:
        self._stream, self._on_broken = stream, on_broken
        self._left_in_chunk = 0
        self._left_on_wire = MAX_ON_THE_WIRE
        self._chunks = 0
        self._has_ended = False
        self._is_broken = False

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; fewer only at the end, where it is none."""
        wanted = MAX_ON_THE_WIRE if size < 0 else size
        parts = []
        while wanted > 0 and (self._left_in_chunk or self._next_chunk()):
            part = self._take(min(wanted, self._left_in_chunk))
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def readline(self, size: int = -1) -> bytes:
        """One line, as WSGI wants it; nobody here reads a body by lines, so byte by byte will do."""
        line = bytearray()
        while (size < 0 or len(line) < size) and not line.endswith(b"\n") and (byte := self.read(1)):
            line += byte
        return bytes(line)

    def readlines(self, hint: int = -1) -> list[bytes]:
        del hint  # may be ignored (PEP 3333)
        return list(iter(self.readline, b""))

    def _next_chunk(self) -> bool:
        """Read the line that begins a chunk; False at the end, with the trailers read away."""
        if self._is_broken:
            raise BrokenBody("the body is broken")
        if self._has_ended:
            return False
        self._chunks += 1
        if not self._chunks % CHUNKS_AT_A_TIME:
            runtime.sleep(0)
        self._spend(CHUNK_COST)
        size = _SIZE.fullmatch(self._line())
        if size is None:
            self._fail("a chunk does not begin with its size")
        self._left_in_chunk = int(size[1], 16)
        self._has_ended = self._left_in_chunk == 0
        if self._has_ended:
            self._skip_trailers()
        return not self._has_ended

    def _take(self, size: int) -> bytes:
        self._spend(size)
        part: bytes = self._stream.read(size)
        if len(part) < size:
            self._fail("the body was cut off")
        self._left_in_chunk -= size
        if not self._left_in_chunk and self._line() != b"\r\n":
            self._fail("a chunk is longer than its size")
        return part

    def _skip_trailers(self) -> None:
        for _ in range(MAX_TRAILERS):
            line = self._line()
            if line == b"\r\n":
                return
            if not _TRAILER.fullmatch(line):
                self._fail("a trailer is not `name: value`")
        self._fail("there are too many trailers")

    def _line(self) -> bytes:
        line: bytes = self._stream.readline(MAX_LINE)
        self._spend(len(line))
        return line

    def _spend(self, size: int) -> None:
        self._left_on_wire -= size
        if self._left_on_wire < 0:
            self._fail("the body does not end")

    def _fail(self, why: str) -> NoReturn:
        self._is_broken = True
        self._on_broken()
        raise BrokenBody(why)


def decode_chunks(environ: dict[str, Any], on_broken: Callable[[], None]) -> None:
    """Have a chunked body read as any other: eventlet's own reading of chunks takes lines of any length.

    Its `Input` is handed the decoder as the file it reads from, and told that the body has a length beyond reach.
    """
    body = environ["wsgi.input"]
    body.rfile = Chunks(body.rfile, on_broken)
    body.chunked_input, body.content_length = False, MAX_ON_THE_WIRE
    environ["wsgi.input_terminated"] = True
