"""Reads the head of a regular HTTP/1.1 request in one go; what is irregular is left to Python's own reader.

That one was made for e-mail, and was a fifth of what a connection costs. Regular means: the head has arrived whole, its
lines end in CR LF, each field is `name: value` of RFC 9110's characters, none is folded. A test proves that both
readers make the same of it.
"""

import re
from collections.abc import Iterator
from typing import Any, Protocol

MOST_FIELDS = 100  # as http.client

_REQUEST = re.compile(rb"([A-Z]{3,7}) (/(?!/)[\x21-\x7e]*|/) HTTP/1\.1\r\n")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)\r\n")


class Fields:
    """The header fields of a request, as eventlet.wsgi reads them."""

    __slots__ = ("_headers", "_values")

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._headers = pairs
        self._values: dict[str, str] = {}
        for name, value in reversed(pairs):  # the first of several counts, as in an e-mail
            self._values[name.lower()] = value

    def get(self, name: str, default: Any = None) -> Any:
        return self._values.get(name.lower(), default)

    def get_content_type(self) -> str:
        """What a message without Content-Type is, by RFC 2045."""
        return "text/plain"

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._headers)


class _Buffered(Protocol):
    def peek(self, size: int = 0, /) -> bytes: ...
    def read(self, size: int = -1, /) -> bytes: ...


def read_fields(stream: _Buffered) -> Fields | None:
    """Take the fields and the blank line after them; None, and nothing taken, when that is Python's to do."""
    waiting = stream.peek(1)
    last = waiting.find(b"\r\n\r\n")
    if last < 0:
        return None
    pairs: list[tuple[str, str]] = []
    at, end = 0, last + len(b"\r\n")
    while at < end:
        field = _FIELD.match(waiting, at, end)
        if field is None or len(pairs) == MOST_FIELDS:
            return None
        name, value = field.groups()
        pairs.append((name.decode("ascii"), value.strip(b" \t").decode("latin-1")))
        at = field.end()
    stream.read(end + len(b"\r\n"))
    return Fields(pairs)


class QuickHead:
    """Comes before eventlet.wsgi's handler, whose `parse_request` it spares for regular requests."""

    raw_requestline: bytes
    rfile: Any
    protocol_version: str

    def parse_request(self) -> bool:
        """Set what http.server's method of this name sets; True when there is a request to answer."""
        line = _REQUEST.fullmatch(self.raw_requestline)
        fields = line and read_fields(self.rfile.fp)  # the buffer itself, without the counting of lines around it
        if not line or not fields:
            regular: bool = super().parse_request()  # type: ignore[misc]
            return regular
        self.command, self.path = line[1].decode("ascii"), line[2].decode("ascii")
        self.requestline = self.raw_requestline[:-2].decode("ascii")
        self.request_version = "HTTP/1.1"
        self.headers = fields
        self.close_connection = fields.get("connection", "").lower() == "close"
        return True
