"""Reads the head of a request: in one go when it has arrived whole, else line by line; by one grammar, and strictly.

Python's own reader was made for e-mail: it was a fifth of what a connection costs, and it forgives. A line that is no
field hides from it all that follow, so two readers of one connection could see different requests in it (RFC 9112,
11.2). Here what is not by the grammar is refused, except bare newlines, which hide nothing.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol

from app.http.problems import RejectedRequest

MAX_FIELDS = 100
MAX_LINE = 8192
MAX_HEAD = 65536

_QUICK_REQUEST = re.compile(rb"([A-Z]{3,7}) (/(?!/)[\x21-\x7e]*|/) HTTP/1\.1\r\n")
_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e\x80-\xff]+) HTTP/([0-9])\.([0-9])\r?\n")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)\r?\n")
_LENGTH = re.compile(r"[0-9]{1,18}")
_HOST = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]*")
_ABSOLUTE = re.compile(r"https?://([^/?#]+)([^#]*)", re.IGNORECASE)
_ONLY_ONCE = ("content-length", "transfer-encoding", "host")


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

    def tokens(self, name: str) -> set[str]:
        """The members of a list that may come in several lines, in lower case."""
        if name not in self._values:
            return set()
        values = [value for given, value in self._headers if given.lower() == name]
        return {token.strip(" \t") for token in ",".join(values).lower().split(",")}

    def replace_host(self, host: str) -> None:
        self._values["host"] = host
        self._headers = [*((name, value) for name, value in self._headers if name.lower() != "host"), ("Host", host)]

    def check_repeated(self) -> None:
        """Raises RejectedRequest when lines of one name are too many: 400, or too long together: 431.

        They are read as one value later, by parsers made for short ones: 53 KiB of Accept-Encoding took 68 ms.
        """
        if len(self._values) == len(self._headers):
            return
        sizes: Counter[str] = Counter()
        for name, value in self._headers:
            name = name.lower()  # noqa: PLW2901
            if name in _ONLY_ONCE and name in sizes:
                raise RejectedRequest(400, f"There is more than one {name}.")
            sizes[name] += len(value) + 1
            if sizes[name] > MAX_LINE:
                raise RejectedRequest(431, "A field may have 8 KiB, also when it comes in several lines.")


class Stream(Protocol):
    def peek(self, size: int = 0, /) -> bytes: ...
    def read(self, size: int = -1, /) -> bytes: ...
    def readline(self, size: int | None = -1, /) -> bytes: ...


def read_fields(stream: Stream) -> Fields | None:
    """Take the fields and the blank line after them. Raises RejectedRequest; None when the client left early."""
    waiting = stream.peek(1)
    last = waiting.find(b"\r\n\r\n")
    if last < 0:
        return _read_slowly(stream)
    pairs: list[tuple[str, str]] = []
    at, end = 0, last + len(b"\r\n")
    while at < end:
        field = _FIELD.match(waiting, at, end)
        if field is None or len(pairs) == MAX_FIELDS:
            return _read_slowly(stream)  # which knows what to say, or finds an end that came with bare newlines
        name, value = field.groups()
        pairs.append((name.decode("ascii"), value.strip(b" \t").decode("latin-1")))
        at = field.end()
    stream.read(end + len(b"\r\n"))
    return Fields(pairs)


def _read_slowly(stream: Stream) -> Fields | None:
    pairs: list[tuple[str, str]] = []
    total = 0
    while True:
        line = stream.readline(MAX_LINE)
        if line in (b"\r\n", b"\n"):
            return Fields(pairs)
        total += len(line)
        if len(line) == MAX_LINE or total > MAX_HEAD or len(pairs) == MAX_FIELDS:
            raise RejectedRequest(431, f"A head may have {MAX_FIELDS} fields, of 8 KiB each and 64 KiB together.")
        if not line.endswith(b"\n"):
            return None
        field = _FIELD.fullmatch(line)
        if field is None:
            raise RejectedRequest(400, f"This line of the head is not `name: value`: {line[:80]!r}")
        name, value = field.groups()
        pairs.append((name.decode("ascii"), value.strip(b" \t").decode("latin-1")))


def check_framing(fields: Fields, version: str) -> None:
    """Where the body ends must be beyond doubt (RFC 9112, 6.3). Raises RejectedRequest."""
    fields.check_repeated()
    coding, length = fields.get("transfer-encoding"), fields.get("content-length")
    if length is not None and not _LENGTH.fullmatch(length):
        raise RejectedRequest(400, f"The Content-Length {length[:80]!r} is not a number of bytes.")
    if coding is None:
        return
    if length is not None:
        raise RejectedRequest(400, "Send Content-Length or Transfer-Encoding, not both.")
    if version == "HTTP/1.0":
        raise RejectedRequest(400, "HTTP/1.0 has no Transfer-Encoding.")
    if coding.lower() != "chunked":
        raise RejectedRequest(501, f"The only Transfer-Encoding known here is `chunked`, not {coding[:80]!r}.")


class StrictHead:
    """Comes before eventlet.wsgi's handler, whose `parse_request` it replaces."""

    raw_requestline: bytes
    rfile: Any

    def parse_request(self) -> bool:
        """Set what http.server's method of this name sets. Raises RejectedRequest; False when the client left."""
        line = _QUICK_REQUEST.fullmatch(self.raw_requestline)
        if line:
            self.command, self.path = line[1].decode("ascii"), line[2].decode("ascii")
            self.request_version = "HTTP/1.1"
        else:
            self._parse_irregular_line()
        self.requestline = self.raw_requestline.rstrip(b"\r\n").decode("latin-1")
        fields = read_fields(self.rfile)
        if fields is None:
            return False
        check_framing(fields, self.request_version)
        self.headers = fields
        self._check_target(fields)
        connection = fields.tokens("connection")
        self.close_connection = "close" in connection or (
            self.request_version == "HTTP/1.0" and "keep-alive" not in connection
        )
        return True

    def _check_target(self, fields: Fields) -> None:
        """Which host and path are asked for (RFC 9112, 3.2). Raises RejectedRequest."""
        host = fields.get("host")
        if host is None and self.request_version == "HTTP/1.1":
            raise RejectedRequest(400, "HTTP/1.1 demands a Host.")
        if not self.path.startswith("/") and self.path != "*":
            absolute = _ABSOLUTE.fullmatch(self.path)
            if absolute is None:
                raise RejectedRequest(400, f"The target of a request is a path, or a URL: {self.path[:80]!r}")
            host, path = absolute.groups()
            self.path = path if path.startswith("/") else f"/{path}"
            fields.replace_host(host)  # it counts, whatever Host says
        if host and not _HOST.fullmatch(host):
            raise RejectedRequest(400, f"The Host {host[:80]!r} is none.")

    def _parse_irregular_line(self) -> None:
        line = _REQUEST.fullmatch(self.raw_requestline)
        if line is None:
            raise RejectedRequest(400, f"This is not `METHOD /path HTTP/1.1`: {self.raw_requestline[:80]!r}")
        method, target, major, minor = (part.decode("latin-1") for part in line.groups())
        if major != "1":
            raise RejectedRequest(505, f"HTTP/{major}.{minor} is not spoken here: HTTP/1.1 is.")
        self.command = method
        self.path = target
        self.request_version = "HTTP/1.0" if minor == "0" else "HTTP/1.1"
