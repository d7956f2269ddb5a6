"""No client can monopolize the event loop: its requests and frames are bounded, counted and finally rejected."""

import contextlib
import socket

import pytest

from tests.security.raw_http import exchange, request
from tests.security.raw_websocket import PATH, WebSocket, close_code_of, connect, frame, receive_all
from tests.support.processes import until
from tests.support.stack import Stack

MAX_PIPELINED = 100
PING, PONG, CONTINUATION = 9, 10, 0
FLOODS = {
    "pings": frame(b"", PING) * 9000,
    "pongs": frame(b"x", PONG) * 9000,
    "empty fragments": (frame(b"2", first=1) + frame(b"", first=0) * 500 + frame(b"", CONTINUATION)) * 18,
    "empty messages": frame(b"3") * 9000,
}


def test_pipelined_requests_beyond_the_limit_are_rejected_with_429(stack: Stack, no_leaks) -> None:
    with connect(stack.port, 30) as flooding:
        with contextlib.suppress(OSError):
            flooding.sendall(request("/healthz") * 3000)
        received = receive_all(flooding)

    assert received.count(b"HTTP/1.1 200 ") == MAX_PIPELINED
    refusal = received[received.rindex(b"HTTP/1.1 ") :]
    assert refusal.startswith(b"HTTP/1.1 429 ")
    assert b"Retry-After: 1\r\n" in refusal
    assert b'"code": "RATE_LIMITED"' in refusal
    stack.wait_for_log("connection.flooded")


def test_pipelined_requests_within_the_limit_are_all_answered(stack: Stack) -> None:
    with connect(stack.port, 30) as client:
        client.sendall(request("/healthz") * 49 + request("/healthz", "Connection: close"))
        assert receive_all(client).count(b"HTTP/1.1 200 ") == 50


def test_sequential_requests_do_not_count_as_pipelined(stack: Stack) -> None:
    with connect(stack.port, 30) as client:
        for _ in range(3 * MAX_PIPELINED):
            client.sendall(request("/healthz"))
            answer = b""
            while b"}" not in answer:
                answer += client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 ")


def test_other_clients_are_served_between_the_pipelined_requests_of_one_connection(stack: Stack) -> None:
    """Retried, because one try may be too late; a server that does not yield never passes."""

    def is_served_in_between() -> bool:
        with connect(stack.port, 30) as flooding, connect(stack.port, 30) as other:
            other.sendall(request("/healthz"))
            other.recv(65536)
            flooding.sendall(request("/api/v1/protocols") * MAX_PIPELINED)
            flooding.recv(1, socket.MSG_PEEK)
            other.sendall(request("/healthz"))
            assert other.recv(65536).startswith(b"HTTP/1.1 200 ")
            flooding.setblocking(False)
            answered = b""
            with contextlib.suppress(BlockingIOError):
                while data := flooding.recv(1 << 20):
                    answered += data
            return answered.count(b"HTTP/1.1 401 ") < MAX_PIPELINED

    until(is_served_in_between, 20, "another client is served in between")


@pytest.mark.parametrize("case", FLOODS)
def test_a_flood_of_frames_closes_the_websocket_with_1008_policy_violation(case: str, stack: Stack, no_leaks) -> None:
    before = stack.metric("dashboard_sockets_flooding_total")
    with WebSocket(stack.port) as flooding:
        with contextlib.suppress(OSError):
            flooding.raw(FLOODS[case])
        assert close_code_of(receive_all(flooding.sock)) == 1008
    assert stack.metric("dashboard_sockets_flooding_total") == before + 1


def test_a_flood_of_frames_closes_a_websocket_whose_upgrade_is_not_yet_confirmed(stack: Stack, no_leaks) -> None:
    with upgrading(stack) as flooding:
        with contextlib.suppress(OSError):
            flooding.sendall(FLOODS["pings"])
        assert close_code_of(receive_all(flooding)) == 1008


def upgrading(stack: Stack) -> socket.socket:
    """A WebSocket of a polling session, before the probe that confirms the upgrade."""
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


def test_an_ordinary_number_of_pings_is_answered(stack: Stack) -> None:
    with WebSocket(stack.port) as client:
        client.raw(b"".join(frame(b"%02d" % number, PING) for number in range(50)))
        answers = client.wait_for(b"\x8a\x0249")
    assert answers.count(b"\x8a\x02") == 50


@pytest.mark.parametrize("name", ["Accept-Encoding", "Accept", "Cookie", "X-Forwarded-For", "If-None-Match"])
def test_repeated_header_lines_share_the_length_limit_of_one(name: str, stack: Stack) -> None:
    reply = exchange(stack.port, request("/", *[f"{name}: {'a;q=0.1,' * 900}"] * 2))

    assert reply.problem["code"] == "HEADERS_TOO_LARGE"


def test_an_accept_encoding_with_too_many_members_is_ignored(stack: Stack) -> None:
    assert exchange(stack.port, request("/", "Accept-Encoding: gzip")).headers["content-encoding"] == "gzip"
    many = "a;q=0.1, " * 500 + "gzip"
    assert "content-encoding" not in exchange(stack.port, request("/", f"Accept-Encoding: {many}")).headers
