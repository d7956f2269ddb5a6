"""A request head is parsed as by Python's own parser, or refused where it deviates from the grammar."""

import io
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.http.problems import RejectedRequest
from app.http.server.request_head import StrictHead, read_fields

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from eventlet import wsgi  # not patched: only its handler is looked at


class _Socket:
    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", 80)


class _Server:
    url_length_limit = 8192
    keepalive = True
    socket_timeout = None
    max_http_version = None

    def get_environ(self) -> dict[str, Any]:
        return {}


class Strict(StrictHead, wsgi.HttpProtocol):
    pass


def understood(handler_class: type, request: bytes) -> dict[str, Any]:
    """What a handler makes of the request: its WSGI environ and whether the connection stays, or the refusal."""
    handler = object.__new__(handler_class)
    handler.server, handler.connection, handler.request = _Server(), _Socket(), _Socket()
    handler.client_address, handler.conn_state = ("127.0.0.1", 5), [None, None, "idle"]
    handler.wfile = io.BytesIO()
    stream = io.BufferedReader(io.BytesIO(request), 8192)
    handler.raw_requestline = stream.readline(8192)
    handler.log_message = lambda *_: None
    handler.rfile = stream if handler_class is Strict else wsgi.FileObjectForHeaders(stream)
    try:
        accepted = handler.parse_request()
    except RejectedRequest as refusal:
        return {"refused": int(refusal.status)}
    except (wsgi.HeaderLineTooLong, wsgi.HeadersTooLarge) as error:
        return {"error": type(error)}
    if not accepted:
        return {"refused": handler.wfile.getvalue().partition(b"\r\n")[0]}
    length = handler.headers.get("content-length", "0").strip()
    if not length.isdecimal() or not length.isascii():  # refused before an environ is made
        return {"length": length}
    handler.rfile = stream
    environ = handler.get_environ()
    body = environ.pop("wsgi.input").rfile.read()
    for name in ("eventlet.input", "eventlet.posthooks", "eventlet.set_idle"):
        environ.pop(name)
    environ["CONTENT_TYPE"] = environ["CONTENT_TYPE"].rstrip(" \t")  # of this one Python's reader keeps the blanks
    return {"environ": environ, "close": bool(handler.close_connection), "body": body}


names = st.one_of(
    st.sampled_from(
        ["Host", "Content-Length", "content-type", "Connection", "X-Request-ID", "Transfer-Encoding", "A_B"]
    ),
    st.text(st.sampled_from("abcXYZ019-_.!~ :\t"), max_size=8),
)
values = st.one_of(
    st.sampled_from(["close", "keep-alive", "application/json", "5", "100-continue", " a  b ", "Upgrade"]),
    st.text(st.characters(max_codepoint=255), max_size=12),
)
lines = st.sampled_from(
    [
        "GET / HTTP/1.1",
        "POST /a?b=%20 HTTP/1.1",
        "GET /x HTTP/1.0",
        "GET /x",
        "PUT /é HTTP/1.1",
        "get / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET / HTTP/2.0",
        "GET / HTTP/1.1 x",
        "OPTIONS * HTTP/1.1",
    ]
)
ends = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n "])


@given(lines, st.lists(st.tuples(names, values, ends), max_size=6), st.binary(max_size=20))
def test_an_accepted_head_is_parsed_as_by_pythons_parser(
    line: str, fields: list[tuple[str, str, str]], body: bytes
) -> None:
    text = f"{line}\r\nHost: h\r\n" + "".join(f"{name}: {value}{end}" for name, value, end in fields) + "\r\n"
    request = text.encode("latin-1") + body

    ours = understood(Strict, request)
    if "refused" in ours:  # as HTTP/0.9 is, which eventlet cannot read from Python 3.14 on
        return
    theirs = understood(wsgi.HttpProtocol, request)
    if ours.get("close") and sum(name.lower() == "connection" for name, _, _ in fields) > 1:
        theirs["close"] = True  # Python's reader looks at the first alone
    assert ours == theirs


REGULAR = (
    b"GET /socket.io/?EIO=4 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nx-b:\t1 \r\nX-B: 2\r\nEmpty:\r\n\r\nrest"
)


def test_a_complete_head_is_parsed_in_one_pass_and_no_further() -> None:
    stream = io.BufferedReader(io.BytesIO(REGULAR.partition(b"\r\n")[2]))

    fields = read_fields(stream)

    assert fields is not None
    assert [name for name, _ in fields._headers] == ["Host", "Connection", "x-b", "X-B", "Empty"]
    assert fields.get("X-b") == "1"
    assert stream.read() == b"rest"
    assert understood(Strict, REGULAR)["environ"]["HTTP_X_B"] == "1,2"


@pytest.mark.parametrize(
    "request_line", [b"GET /x HTTP/1.0", b"PUT /\xe9 HTTP/1.1", b"get / HTTP/1.1", b"OPTIONS * HTTP/1.1"]
)
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_unusual_but_valid_heads_are_accepted(request_line: bytes, end: bytes) -> None:
    request = end.join([request_line, b"Host: a", b"Content-Length: 3", b"", b"abc"])

    ours = understood(Strict, request)

    assert ours["body"] == b"abc"
    assert ours == understood(wsgi.HttpProtocol, request)


def test_a_head_that_arrives_in_pieces_is_parsed_like_a_complete_one() -> None:
    class Dribbling(io.RawIOBase):
        left = REGULAR.partition(b"\r\n")[2]

        def readable(self) -> bool:
            return True

        def readinto(self, into: Any) -> int:
            into[:1], self.left = self.left[:1], self.left[1:]
            return 1

    fields = read_fields(io.BufferedReader(Dribbling()))

    assert fields is not None
    assert [name for name, _ in fields._headers] == ["Host", "Connection", "x-b", "X-B", "Empty"]


CHUNKED, LENGTH = b"Transfer-Encoding: chunked\r\n", b"Content-Length: 0\r\n"
REFUSED = {
    "blank before the colon": (400, b"Host : a\r\n"),
    "folded": (400, b"A: b\r\n c\r\n"),
    "control": (400, b"A: \x00\r\n"),
    "bare return": (400, b"A: b\rContent-Length: 5\r\n"),
    "no field before others": (400, b"junk\r\n" + CHUNKED),
    "too many": (431, b"A: b\r\n" * 101),
    "a line too long": (431, b"A: " + b"b" * 8192 + b"\r\n"),
    "too long together": (431, (b"A: " + b"b" * 8000 + b"\r\n") * 9),
    "one name too long together": (431, (b"A: " + b"b" * 5000 + b"\r\n") * 2),
    "two hosts": (400, b"Host: a\r\nHost: b\r\n"),
    "chunked twice": (400, CHUNKED + CHUNKED),
    "another coding": (501, b"Transfer-Encoding: gzip, chunked\r\n"),
    "almost chunked": (501, b"Transfer-Encoding: xchunked\r\n"),
    "identity": (501, b"Transfer-Encoding: identity\r\n"),
    "quoted": (501, b'Transfer-Encoding: "chunked"\r\n'),
    "nothing": (501, b"Transfer-Encoding:\r\n"),
    "coding with blank": (400, b"Transfer-Encoding : chunked\r\n"),
    "length twice": (400, LENGTH + b"content-length: 5\r\n"),
    "both": (400, LENGTH + CHUNKED),
    "plus": (400, b"Content-Length: +2\r\n"),
    "minus": (400, b"Content-Length: -2\r\n"),
    "underscore": (400, b"Content-Length: 0_2\r\n"),
    "empty length": (400, b"Content-Length:\r\n"),
    "two lengths in one": (400, b"Content-Length: 5, 5\r\n"),
    "no ASCII digit": (400, b"Content-Length: \xb2\r\n"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_ambiguous_head_is_refused(what: str) -> None:
    status, fields = REFUSED[what]

    head = b"POST / HTTP/1.1\r\n" + (b"" if b"Host: " in fields else b"Host: h\r\n")

    assert understood(Strict, head + fields + b"\r\n") == {"refused": status}


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        (b"http://a/b?c=d", "a", "/b"),
        (b"HTTP://a:80/b?c=d", "a:80", "/b"),
        (b"https://[::1]:5000?c=d", "[::1]:5000", "/"),
        (b"http://a", "a", "/"),
    ],
)
def test_the_host_of_an_absolute_target_overrides_the_host_field(target: bytes, host: str, path: str) -> None:
    environ = understood(Strict, b"GET " + target + b" HTTP/1.1\r\nHost: other\r\nA: b\r\n\r\n")["environ"]

    assert (environ["HTTP_HOST"], environ["PATH_INFO"]) == (host, path)
    assert environ.get("QUERY_STRING") in ("c=d", None)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n",
        b"GET http://a/ HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n",
        b"GET / HTTP/1.1\r\nHost: a@b\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n",
        b"GET http:/// HTTP/1.1\r\nHost: a\r\n",
        b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n",
        b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n",
        b"GET path HTTP/1.1\r\nHost: a\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n",
    ],
)
def test_a_request_without_a_valid_host_and_target_is_refused(head: bytes) -> None:
    assert understood(Strict, head + b"\r\n") == {"refused": 400}


@pytest.mark.parametrize(
    ("version", "connection", "closes"),
    [
        (b"1.1", b"Connection: TE, close", True),
        (b"1.1", b"Connection: TE\r\nConnection: Close", True),
        (b"1.1", b"Connection: keep-alive, TE", False),
        (b"1.1", b"Connection: closed", False),
        (b"1.0", b"Connection: keep-alive, TE", False),
        (b"1.0", b"Connection: TE", True),
    ],
)
def test_the_connection_field_is_parsed_as_a_list(version: bytes, connection: bytes, closes: bool) -> None:
    head = b"GET / HTTP/" + version + b"\r\nHost: a\r\n" + connection + b"\r\n\r\n"

    assert understood(Strict, head)["close"] is closes


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /", 400),
        (b"GET / x HTTP/1.1", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET / HTTP/x", 400),
        (b"GET / HTTP/1.10", 400),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/3.0", 505),
    ],
)
def test_a_line_that_is_not_an_http_1_request_is_refused(line: bytes, status: int) -> None:
    assert understood(Strict, line + b"\r\n\r\n") == {"refused": status}


def test_http_1_0_with_transfer_encoding_is_refused() -> None:
    assert understood(Strict, b"POST / HTTP/1.0\r\n" + CHUNKED + b"\r\n") == {"refused": 400}
