"""HTTP requests as raw bytes, and the server's responses to them."""

import contextlib
import json
import socket
from dataclasses import dataclass
from typing import Any

from tests.security.raw_websocket import connect


@dataclass(frozen=True)
class Reply:
    """One response; header names are lower case. `rest` holds the bytes after it; `closed`: the server closed."""

    status: int
    headers: dict[str, str]
    body: bytes
    rest: bytes
    closed: bool

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> dict[str, Any]:
        """The body, after checking that it is a complete problem with the id of its request."""
        assert self.headers["content-type"] == "application/problem+json", self
        members = json.loads(self.body)
        assert {"type", "title", "status", "detail", "code", "requestId"} <= set(members), members
        assert members["status"] == self.status
        assert members["requestId"] == self.headers["x-request-id"] != ""
        return members


def exchange(port: int, sent: bytes, *, then_end: bool = False, seconds: float = 3.0) -> Reply:
    """Send bytes and read until the server closes the connection or sends nothing more for 0.3 seconds."""
    with connect(port, seconds) as sock:
        sock.sendall(sent)
        if then_end:
            sock.shutdown(socket.SHUT_WR)
        received, closed = b"", False
        with contextlib.suppress(TimeoutError):
            while not closed:
                data = sock.recv(65536)
                received, closed = received + data, not data
                if is_complete(received):
                    sock.settimeout(0.3)  # only the close or a surplus response can still arrive
    return parse(received, closed=closed)


def is_complete(received: bytes) -> bool:
    head, separator, body = received.partition(b"\r\n\r\n")
    return bool(separator) and len(body) >= int(fields_of(head).get("content-length", "0"))


def parse(received: bytes, *, closed: bool) -> Reply:
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), received[:200]
    headers = fields_of(head)
    length = int(headers.get("content-length", len(body)))
    return Reply(int(head[9:12]), headers, body[:length], body[length:], closed)


def fields_of(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def request(target: str, *fields: str, body: bytes = b"", method: str = "GET") -> bytes:
    head = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *fields])
    return f"{head}\r\n\r\n".encode("latin-1") + body


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + end
