"""A client reads everything written before a close, even while it is still sending (RFC 6455, 7.1.1)."""

import contextlib
import json
import signal

import pytest

from tests.security.raw_http import exchange, parse, request
from tests.security.raw_websocket import WebSocket, close_code_of, connect, frame, holds, receive_all
from tests.support.processes import until
from tests.support.stack import Stack, StackMaker

MIB = 1024 * 1024
EVENTS = 20


CLOSED_FOR = {
    "message too long": (frame(b"x" * 200_000), 1009),
    "unmasked frame": (frame(b"x", masked=False) + b"y" * 200_000, 1002),
    "invalid UTF-8": (frame(b"\xff" * 60_000) + b"y" * 200_000, 1007),
    "invalid packet": (frame(b"4abc") + frame(b"3" * 60_000) * 3, 1008),
    "reserved event name": (frame(b'42["disconnect"]') + frame(b"3" * 60_000) * 3, 1008),
    "close frame of the client": (frame(b"\x03\xe8", 8) + frame(b"3" * 60_000) * 3, 1000),
}


@pytest.mark.parametrize("case", CLOSED_FOR)
def test_acks_and_the_close_code_arrive_before_the_connection_closes(case: str, stack: Stack, no_leaks) -> None:
    sent, code = CLOSED_FOR[case]
    events = b"".join(frame(f'42{number}["protocol:leave"]'.encode()) for number in range(EVENTS))

    with WebSocket(stack.port, stack.api.token("viewer")) as client:
        client.raw(events + sent)
        received = receive_all(client.sock)

    assert [number for number in range(EVENTS) if f'43{number}[{{"ok":true}}]'.encode() not in received] == []
    assert close_code_of(received) == code


def test_the_server_closes_the_connection_of_a_client_that_ignores_the_close_frame(stack: Stack, no_leaks) -> None:
    clients = [WebSocket(stack.port) for _ in range(5)]
    assert all(holds(stack.port, client.sock) for client in clients)
    for client in clients:
        client.raw(frame(b"x" * 200_000))
    for client in clients:
        until(lambda sock=client.sock: not holds(stack.port, sock), 20, "the server has closed the socket")
    for client in clients:
        client.close()


@pytest.mark.parametrize("size", [2 * MIB, 8 * MIB])
def test_a_client_that_sends_a_large_rejected_body_can_read_the_response(size: int, stack: Stack, no_leaks) -> None:
    head = request("/api/v1/progress", "Connection: close", f"Content-Length: {size}", method="POST")

    with connect(stack.port, 20) as client:
        client.sendall(head + b"x" * size)
        reply = parse(receive_all(client), closed=True)

    assert reply.problem["code"] in ("UNAUTHORIZED", "BODY_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("head", [b"junk\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 9000 + b"\r\n"])
def test_a_rejected_request_head_gets_a_response_whatever_follows_it(head: bytes, stack: Stack, no_leaks) -> None:
    with connect(stack.port, 20) as client:
        client.sendall(head + b"z" * 4 * MIB)
        assert parse(receive_all(client), closed=True).status in (400, 431)


def test_the_server_closes_the_connection_of_a_client_that_stays_after_a_rejection(stack: Stack, no_leaks) -> None:
    with connect(stack.port, 20) as client:
        client.sendall(request("/healthz"))
        assert client.recv(MIB)
        assert holds(stack.port, client)
        client.sendall(b"junk\r\n")
        until(lambda: not holds(stack.port, client), 20, "the server has closed the socket")


def test_at_shutdown_websockets_are_closed_with_1001_going_away(make_web: StackMaker) -> None:
    system = make_web()
    with WebSocket(system.port, system.api.token("viewer")) as client:
        system.signal("web-1", signal.SIGTERM)
        assert close_code_of(receive_all(client.sock)) == 1001


@pytest.mark.parametrize(
    ("closing_packet", "packet"), [("1", "6"), ('42["too early"]', "1")], ids=["by the client", "by the server"]
)
def test_a_pending_poll_is_answered_when_its_session_closes(
    closing_packet: str, packet: str, stack: Stack, no_leaks
) -> None:
    opened = exchange(stack.port, request("/socket.io/?EIO=4&transport=polling"))
    target = f"/socket.io/?EIO=4&transport=polling&sid={json.loads(opened.body[1:])['sid']}"

    with connect(stack.port, 20) as polling:
        polling.sendall(request(target, "Connection: close"))
        with contextlib.suppress(TimeoutError):  # until the poll is pending
            polling.settimeout(0.3)
            polling.recv(1)
        polling.settimeout(20)
        body = closing_packet.encode()
        exchange(stack.port, request(target, f"Content-Length: {len(body)}", body=body, method="POST"))
        assert parse(receive_all(polling), closed=True).body == packet.encode()
    assert exchange(stack.port, request(target)).status == 400
