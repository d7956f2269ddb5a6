"""A request with ambiguous framing is rejected, and rejections before Flask are problem documents too."""

import pytest

from tests.security.raw_http import exchange, request
from tests.support.stack import Stack

SECOND = request("/metrics")  # would be answered if it were parsed as a request of its own
CHUNKS = "Transfer-Encoding: chunked"
AMBIGUOUS = {
    "chunked twice": (400, (CHUNKS, CHUNKS)),
    "several codings": (501, ("Transfer-Encoding: gzip, chunked",)),
    "an unknown coding": (501, ("Transfer-Encoding: xchunked",)),
    "identity": (501, ("Transfer-Encoding: identity",)),
    "quoted": (501, ('Transfer-Encoding: "chunked"',)),
    "space before the colon": (400, ("Transfer-Encoding : chunked",)),
    "two lengths": (400, ("Content-Length: 0", f"Content-Length: {len(SECOND)}")),
    "length and chunks": (400, ("Content-Length: 5", CHUNKS)),
    "a line without a colon before others": (400, ("junk", f"Content-Length: {len(SECOND)}")),
    "a length with a plus sign": (400, (f"Content-Length: +{len(SECOND)}",)),
    "a length with an underscore": (400, ("Content-Length: 0_2",)),
    "two hosts": (400, ("Host: y",)),
}
MALFORMED = {
    "too many fields": (431, "HEADERS_TOO_LARGE", request("/api/v1/protocols", *["X: y"] * 101)),
    "a long field": (431, "HEADERS_TOO_LARGE", request("/api/v1/protocols", "X: " + "y" * 9000)),
    "a long line": (414, "URI_TOO_LONG", request("/api/v1/" + "y" * 9000)),
    "spaces in the path": (400, "BAD_REQUEST", b"GET /api/v1 x y HTTP/1.1\r\nHost: x\r\n\r\n"),
    "no version": (400, "BAD_REQUEST", b"GET /api/v1/protocols\r\n\r\n"),
    "an invalid version": (400, "BAD_REQUEST", b"GET /api/v1/protocols HTTP/x\r\nHost: x\r\n\r\n"),
    "a later version": (505, "HTTP_VERSION_NOT_SUPPORTED", b"GET /api/v1 HTTP/3.0\r\nHost: x\r\n\r\n"),
    "not HTTP": (400, "BAD_REQUEST", b"\x16\x03\x01\x02\n"),
    "an invalid length": (400, "BAD_REQUEST", request("/api/v1/protocols", "Content-Length: x")),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_a_request_with_ambiguous_framing_is_rejected_and_nothing_after_it_is_answered(case: str, stack: Stack) -> None:
    status, fields = AMBIGUOUS[case]

    reply = exchange(stack.port, request("/healthz", *fields, body=SECOND))

    assert (reply.status, reply.closed, reply.rest) == (status, True, b"")
    assert reply.headers["connection"] == "close"
    assert reply.problem["detail"]


@pytest.mark.parametrize("case", MALFORMED)
def test_a_rejection_before_flask_is_a_problem_that_reveals_nothing_about_the_server(case: str, stack: Stack) -> None:
    status, code, sent = MALFORMED[case]

    reply = exchange(stack.port, sent)

    assert (reply.status, reply.problem["code"], reply.closed) == (status, code, True)
    assert "server" not in reply.headers
    assert b"Python" not in reply.body
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"] == "no-store"


def test_a_client_that_is_still_sending_can_read_the_rejection(stack: Stack) -> None:
    reply = exchange(stack.port, request("/healthz", "X: " + "y" * 200_000))

    assert reply.problem["code"] == "HEADERS_TOO_LARGE"


def test_a_blank_line_before_a_request_is_ignored(stack: Stack) -> None:
    assert exchange(stack.port, b"\r\n" + request("/healthz")).status == 200


def test_pipelined_requests_are_answered_in_order(stack: Stack) -> None:
    reply = exchange(stack.port, request("/healthz") + request("/healthz", "Connection: close"))

    assert (reply.status, reply.closed) == (200, True)
    assert reply.rest.startswith(b"HTTP/1.1 200 ")
