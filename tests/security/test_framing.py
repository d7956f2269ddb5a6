"""Where a request ends is never in doubt, and what is refused before Flask is refused as all else: as a problem."""

import pytest

from tests.security.raw import exchange, request
from tests.support.stack import Stack

SECOND = request("/metrics")  # would be answered as a request of its own, if it were taken for one
CHUNKS = "Transfer-Encoding: chunked"
DOUBTFUL = {
    "chunked twice": (400, (CHUNKS, CHUNKS)),
    "several codings": (501, ("Transfer-Encoding: gzip, chunked",)),
    "an unknown coding": (501, ("Transfer-Encoding: xchunked",)),
    "identity": (501, ("Transfer-Encoding: identity",)),
    "quoted": (501, ('Transfer-Encoding: "chunked"',)),
    "blank before the colon": (400, ("Transfer-Encoding : chunked",)),
    "two lengths": (400, ("Content-Length: 0", f"Content-Length: {len(SECOND)}")),
    "length and chunks": (400, ("Content-Length: 5", CHUNKS)),
    "a junk line that hides others": (400, ("junk", f"Content-Length: {len(SECOND)}")),
    "a plus": (400, (f"Content-Length: +{len(SECOND)}",)),
    "an underscore": (400, ("Content-Length: 0_2",)),
    "two hosts": (400, ("Host: y",)),
}
MALFORMED = {
    "too many fields": (431, "HEADERS_TOO_LARGE", request("/api/v1/protocols", *["X: y"] * 101)),
    "a long field": (431, "HEADERS_TOO_LARGE", request("/api/v1/protocols", "X: " + "y" * 9000)),
    "a long line": (414, "URI_TOO_LONG", request("/api/v1/" + "y" * 9000)),
    "blanks in the path": (400, "BAD_REQUEST", b"GET /api/v1 x y HTTP/1.1\r\nHost: x\r\n\r\n"),
    "no version": (400, "BAD_REQUEST", b"GET /api/v1/protocols\r\n\r\n"),
    "no known version": (400, "BAD_REQUEST", b"GET /api/v1/protocols HTTP/x\r\nHost: x\r\n\r\n"),
    "a later version": (505, "HTTP_VERSION_NOT_SUPPORTED", b"GET /api/v1 HTTP/3.0\r\nHost: x\r\n\r\n"),
    "no HTTP": (400, "BAD_REQUEST", b"\x16\x03\x01\x02\n"),
    "a length that is none": (400, "BAD_REQUEST", request("/api/v1/protocols", "Content-Length: x")),
}


@pytest.mark.parametrize("what", DOUBTFUL)
def test_a_request_whose_end_is_in_doubt_is_refused_and_nothing_after_it_is_answered(what: str, stack: Stack) -> None:
    status, fields = DOUBTFUL[what]

    reply = exchange(stack.port, request("/healthz", *fields, body=SECOND))

    assert (reply.status, reply.closed, reply.rest) == (status, True, b"")
    assert reply.headers["connection"] == "close"
    assert reply.problem["detail"]


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_refused_before_flask_is_a_problem_that_tells_nothing_of_the_server(what: str, stack: Stack) -> None:
    status, code, sent = MALFORMED[what]

    reply = exchange(stack.port, sent)

    assert (reply.status, reply.problem["code"], reply.closed) == (status, code, True)
    assert "server" not in reply.headers
    assert b"Python" not in reply.body
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"] == "no-store"


def test_a_refusal_is_read_even_by_a_client_that_still_sends(stack: Stack) -> None:
    reply = exchange(stack.port, request("/healthz", "X: " + "y" * 200_000))

    assert reply.problem["code"] == "HEADERS_TOO_LARGE"


def test_a_blank_line_before_a_request_is_forgiven(stack: Stack) -> None:
    assert exchange(stack.port, b"\r\n" + request("/healthz")).status == 200


def test_requests_in_a_row_are_answered_in_a_row(stack: Stack) -> None:
    reply = exchange(stack.port, request("/healthz") + request("/healthz", "Connection: close"))

    assert (reply.status, reply.closed) == (200, True)
    assert reply.rest.startswith(b"HTTP/1.1 200 ")
