"""The quick reader of a request's head makes of it what Python's own reader makes."""

import io
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.request_head import QuickHead, read_fields

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


def understood(handler_class: type, request: bytes) -> dict[str, Any]:
    """What a handler makes of the request: its WSGI environ and whether the connection stays, or the refusal."""
    handler = object.__new__(handler_class)
    handler.server, handler.connection, handler.request = _Server(), _Socket(), _Socket()
    handler.client_address, handler.conn_state = ("127.0.0.1", 5), [None, None, "idle"]
    handler.wfile = io.BytesIO()
    stream = io.BufferedReader(io.BytesIO(request), 8192)
    handler.raw_requestline = stream.readline(8192)
    handler.log_message = lambda *_: None
    handler.rfile = wsgi.FileObjectForHeaders(stream)
    try:
        accepted = handler.parse_request()
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
    return {"environ": environ, "close": bool(handler.close_connection), "body": body}


def handlers() -> tuple[type, type]:
    return type("Quick", (QuickHead, wsgi.HttpProtocol), {}), wsgi.HttpProtocol


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
        "GET //evil HTTP/1.1",
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
def test_both_readers_agree_on_any_head(line: str, fields: list[tuple[str, str, str]], body: bytes) -> None:
    text = line + "\r\n" + "".join(f"{name}: {value}{end}" for name, value, end in fields) + "\r\n"
    quick, plain = handlers()
    request = text.encode("latin-1") + body

    assert understood(quick, request) == understood(plain, request)


REGULAR = (
    b"GET /socket.io/?EIO=4 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nx-b:\t1 \r\nX-B: 2\r\nEmpty:\r\n\r\nrest"
)


def test_a_regular_head_is_read_in_one_go_and_no_further() -> None:
    stream = io.BufferedReader(io.BytesIO(REGULAR.partition(b"\r\n")[2]))

    fields = read_fields(stream)

    assert fields is not None
    assert list(fields) == ["Host", "Connection", "x-b", "X-B", "Empty"]
    assert fields.get("X-b") == "1"
    assert stream.read() == b"rest"
    assert understood(handlers()[0], REGULAR)["environ"]["HTTP_X_B"] == "1,2"


@pytest.mark.parametrize(
    "head",
    [
        b"Host: a\r\n",
        b"\r\nGET",
        b"Host : a\r\n\r\n",
        b"A: b\r\n c\r\n\r\n",
        b"A: b\nC: d\r\n\r\n",
        b"A: \x00\r\n\r\n",
        b"A: b\r\n" * 101 + b"\r\n",
    ],
    ids=["not whole", "no field", "blank in the name", "folded", "bare newline", "control", "too many"],
)
def test_what_is_irregular_is_left_untouched(head: bytes) -> None:
    stream = io.BufferedReader(io.BytesIO(head))

    assert read_fields(stream) is None
    assert stream.read() == head
