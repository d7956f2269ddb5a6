"""No client keeps the one event loop to itself: each turn of its work is bounded, counted, and in the end refused."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.security.raw import exchange, request
from tests.security.test_closings import close_code_of, receive_all
from tests.security.wire import PATH, WebSocket, connect, frame, open_files
from tests.support.processes import until
from tests.support.stack import Stack

PIPELINED_AT_MOST = 100
PING, PONG, CONTINUATION = 9, 10, 0
FLOODS = {
    "pings": frame(b"", PING) * 9000,
    "pongs": frame(b"x", PONG) * 9000,
    "empty fragments": (frame(b"2", first=1) + frame(b"", first=0) * 500 + frame(b"", CONTINUATION)) * 18,
    "empty messages": frame(b"3") * 9000,
}


@pytest.fixture
def handles(stack: Stack) -> Iterator[None]:
    """What the process holds open is back to what it was."""
    before = open_files(stack.pid("web-1"))
    yield
    until(lambda: open_files(stack.pid("web-1")) <= before + 6, 20, "file handles are back")


def test_requests_that_wait_for_no_answer_are_answered_up_to_a_limit(stack: Stack, handles) -> None:
    with connect(stack.port, 30) as flooding:
        with contextlib.suppress(OSError):
            flooding.sendall(request("/healthz") * 3000)
        received = receive_all(flooding)

    assert received.count(b"HTTP/1.1 200 ") == PIPELINED_AT_MOST
    refusal = received[received.rindex(b"HTTP/1.1 ") :]
    assert refusal.startswith(b"HTTP/1.1 429 ")
    assert b"Retry-After: 1\r\n" in refusal
    assert b'"code": "RATE_LIMITED"' in refusal
    stack.wait_for_log("connection.flooded")


def test_a_few_requests_that_wait_for_no_answer_are_all_answered(stack: Stack) -> None:
    with connect(stack.port, 30) as client:
        client.sendall(request("/healthz") * 49 + request("/healthz", "Connection: close"))
        assert receive_all(client).count(b"HTTP/1.1 200 ") == 50


def test_requests_one_after_the_other_are_no_flood(stack: Stack) -> None:
    with connect(stack.port, 30) as client:
        for _ in range(3 * PIPELINED_AT_MOST):
            client.sendall(request("/healthz"))
            answer = b""
            while b"}" not in answer:
                answer += client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 ")


def test_others_are_served_between_the_requests_of_one_connection(stack: Stack) -> None:
    """Here and there the other caller may come too late to see it; a server that does not yield never shows it."""

    def is_served_between() -> bool:
        with connect(stack.port, 30) as flooding, connect(stack.port, 30) as other:
            other.sendall(request("/healthz"))
            other.recv(65536)
            flooding.sendall(request("/api/v1/protocols") * PIPELINED_AT_MOST)
            flooding.recv(1, socket.MSG_PEEK)
            other.sendall(request("/healthz"))
            assert other.recv(65536).startswith(b"HTTP/1.1 200 ")
            flooding.setblocking(False)
            answered = b""
            with contextlib.suppress(BlockingIOError):
                while data := flooding.recv(1 << 20):
                    answered += data
            return answered.count(b"HTTP/1.1 401 ") < PIPELINED_AT_MOST

    until(is_served_between, 20, "another caller is served between them")


@pytest.mark.parametrize("what", FLOODS)
def test_frames_without_end_close_the_websocket_as_a_violation_of_policy(what: str, stack: Stack, handles) -> None:
    before = stack.metric("dashboard_sockets_flooding_total")
    with WebSocket(stack.port) as flooding:
        with contextlib.suppress(OSError):
            flooding.raw(FLOODS[what])
        assert close_code_of(receive_all(flooding.sock)) == 1008
    assert stack.metric("dashboard_sockets_flooding_total") == before + 1


def test_frames_without_end_close_a_websocket_that_is_still_being_tested(stack: Stack, handles) -> None:
    with upgrading(stack) as flooding:
        with contextlib.suppress(OSError):
            flooding.sendall(FLOODS["pings"])
        assert close_code_of(receive_all(flooding)) == 1008


def upgrading(stack: Stack) -> socket.socket:
    """A WebSocket that a polling session has opened and not yet tested."""
    body = exchange(stack.port, request("/socket.io/?EIO=4&transport=polling")).body
    sid = body.split(b'"sid":"')[1].split(b'"')[0].decode()
    upgrade = connect(stack.port, 10)
    fields = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
    )
    upgrade.sendall(request(f"{PATH}&sid={sid}", *fields))
    assert upgrade.recv(65536).startswith(b"HTTP/1.1 101 ")
    return upgrade


def test_as_many_pings_as_anybody_sends_are_answered(stack: Stack) -> None:
    with WebSocket(stack.port) as client:
        client.raw(b"".join(frame(b"%02d" % number, PING) for number in range(50)))
        answers = client.wait_for(b"\x8a\x0249")
    assert answers.count(b"\x8a\x02") == 50


@pytest.mark.parametrize("name", ["Accept-Encoding", "Accept", "Cookie", "X-Forwarded-For", "If-None-Match"])
def test_a_field_in_many_lines_is_as_long_as_one_may_be(name: str, stack: Stack) -> None:
    reply = exchange(stack.port, request("/", *[f"{name}: {'a;q=0.1,' * 900}"] * 2))

    assert reply.problem["code"] == "HEADERS_TOO_LARGE"


def test_encodings_too_many_to_be_weighed_are_not_weighed(stack: Stack) -> None:
    assert exchange(stack.port, request("/", "Accept-Encoding: gzip")).headers["content-encoding"] == "gzip"
    many = "a;q=0.1, " * 500 + "gzip"
    assert "content-encoding" not in exchange(stack.port, request("/", f"Accept-Encoding: {many}")).headers
