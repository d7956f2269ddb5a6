"""Strict parsing of a request's head.

It replaces `http.client.parse_headers` of the standard library, an e-mail parser that took a fifth of a connection's
cost and is lenient: it ignores all fields after a malformed line, so two parsers of one connection could see different
requests (RFC 9112, 11.2). Here every deviation from the grammar is refused, except bare newlines.
"""

import io
import re
from collections import Counter
from typing import Any

from app.http.problems import RejectedRequest

MAX_FIELDS = 100
MAX_LINE = 8192
MAX_HEAD = 65536

_REQUEST = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e\x80-\xff]+) HTTP/([0-9])\.([0-9])\r?\n")
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)\r?\n")
_LENGTH = re.compile(r"[0-9]{1,18}")
_HOST = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]*")
_ABSOLUTE = re.compile(r"https?://([^/?#]+)([^#]*)", re.IGNORECASE)
_UNIQUE_FIELDS = ("content-length", "transfer-encoding", "host")


class Fields:
    """The header fields of a request, with the interface that eventlet.wsgi expects."""

    __slots__ = ("_headers", "_values")
    type = "text/plain"  # of a message without Content-Type (RFC 2045)

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._headers = pairs
        self._values: dict[str, str] = {}
        for name, value in reversed(pairs):  # the first of several wins, as in email.message
            self._values[name.lower()] = value

    def get(self, name: str, default: Any = None) -> Any:
        return self._values.get(name.lower(), default)

    def tokens(self, name: str) -> set[str]:
        """The members of a list field, which may have several lines, in lower case."""
        if name not in self._values:
            return set()
        values = [value for other, value in self._headers if other.lower() == name]
        return {token.strip(" \t") for token in ",".join(values).lower().split(",")}

    def replace_host(self, host: str) -> None:
        self._values["host"] = host
        self._headers = [*((name, value) for name, value in self._headers if name.lower() != "host"), ("Host", host)]

    def check_repeated(self) -> None:
        """Raises RejectedRequest when a unique field is repeated (400) or a repeated field is too long in total (431).

        Repeated fields are later joined for parsers made for short values: 53 KiB of Accept-Encoding took 68 ms.
        """
        if len(self._values) == len(self._headers):
            return
        sizes: Counter[str] = Counter()
        for name, value in self._headers:
            name = name.lower()  # noqa: PLW2901
            if name in _UNIQUE_FIELDS and name in sizes:
                raise RejectedRequest(400, f"There is more than one {name}.")
            sizes[name] += len(value) + 1
            if sizes[name] > MAX_LINE:
                raise RejectedRequest(431, "A field may have at most 8 KiB, over all its lines.")


def read_fields(stream: io.BufferedReader) -> Fields | None:
    """Read the fields and the blank line after them; None when the client left early. Raises RejectedRequest."""
    pairs: list[tuple[str, str]] = []
    total = 0
    while (line := stream.readline(MAX_LINE)) not in (b"\r\n", b"\n"):
        total += len(line)
        if len(line) == MAX_LINE or total > MAX_HEAD or len(pairs) == MAX_FIELDS:
            raise RejectedRequest(431, f"A head may have at most {MAX_FIELDS} fields, 8 KiB each and 64 KiB in total.")
        if not line.endswith(b"\n"):
            return None
        field = _FIELD.fullmatch(line.decode("latin-1"))
        if field is None:
            raise RejectedRequest(400, f"This line of the head is not `name: value`: {line[:80]!r}")
        name, value = field.groups()
        pairs.append((name, value.strip(" \t")))
    return Fields(pairs)


class StrictHead:
    """Precedes eventlet.wsgi's handler and replaces its `parse_request`."""

    raw_requestline: bytes
    rfile: Any

    def parse_request(self) -> bool:
        """Set the attributes that http.server's method sets; False when the client left. Raises RejectedRequest."""
        line = _REQUEST.fullmatch(self.raw_requestline.decode("latin-1"))
        if line is None:
            raise RejectedRequest(400, f"This is not `METHOD /path HTTP/1.1`: {self.raw_requestline[:80]!r}")
        self.command, self.path, major, minor = line.groups()
        if major != "1":
            raise RejectedRequest(505, f"HTTP/{major}.{minor} is not supported, HTTP/1.1 is.")
        self.request_version = "HTTP/1.0" if minor == "0" else "HTTP/1.1"
        self.requestline = line[0].rstrip("\r\n")
        fields = read_fields(self.rfile)
        if fields is None:
            return False
        self.headers = fields
        self._check_framing(fields)
        self._check_target(fields)
        connection = fields.tokens("connection")
        self.close_connection = "close" in connection or (
            self.request_version == "HTTP/1.0" and "keep-alive" not in connection
        )
        return True

    def _check_framing(self, fields: Fields) -> None:
        """Raises RejectedRequest where the length of the body is ambiguous (RFC 9112, 6.3)."""
        fields.check_repeated()
        coding, length = fields.get("transfer-encoding"), fields.get("content-length")
        if length is not None and not _LENGTH.fullmatch(length):
            raise RejectedRequest(400, f"The Content-Length {length[:80]!r} is not a number of bytes.")
        if coding is None:
            return
        if length is not None:
            raise RejectedRequest(400, "Send Content-Length or Transfer-Encoding, not both.")
        if self.request_version == "HTTP/1.0":
            raise RejectedRequest(400, "HTTP/1.0 has no Transfer-Encoding.")
        if coding.lower() != "chunked":
            raise RejectedRequest(501, f"The only supported Transfer-Encoding is `chunked`, not {coding[:80]!r}.")

    def _check_target(self, fields: Fields) -> None:
        """Check the requested host and path (RFC 9112, 3.2). Raises RejectedRequest."""
        host = fields.get("host")
        if host is None and self.request_version == "HTTP/1.1":
            raise RejectedRequest(400, "HTTP/1.1 requires a Host field.")
        if not self.path.startswith("/") and self.path != "*":
            absolute = _ABSOLUTE.fullmatch(self.path)
            if absolute is None:
                raise RejectedRequest(400, f"The request target is neither a path nor an http URL: {self.path[:80]!r}")
            host, path = absolute.groups()
            self.path = path if path.startswith("/") else f"/{path}"
            fields.replace_host(host)  # it overrides the Host field (RFC 9112, 3.2.2)
        if host and not _HOST.fullmatch(host):
            raise RejectedRequest(400, f"The Host {host[:80]!r} is not a host name.")
