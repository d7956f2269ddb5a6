"""What was written before a connection ends is read by its client, which may be sending still (RFC 6455, 7.1.1)."""

import contextlib
import json
import signal
import socket
from collections.abc import Iterator

import pytest

from tests.security.raw import exchange, parse, request
from tests.security.wire import WebSocket, connect, frame, open_files
from tests.support.processes import until
from tests.support.stack import Stack, StackMaker

MIB = 1024 * 1024
EVENTS = 20


def receive_all(sock: socket.socket) -> bytes:
    """All that comes to the end. Raises TimeoutError; a reset is no end."""
    received = b""
    while data := sock.recv(1 << 20):
        received += data
    return received


def close_code_of(received: bytes) -> int:
    """The code of the close frame that must be the last."""
    assert received[-4:-2] == b"\x88\x02", received[-100:]
    return int.from_bytes(received[-2:])


@pytest.fixture
def handles(stack: Stack) -> Iterator[None]:
    before = open_files(stack.pid("web-1"))
    yield
    until(lambda: open_files(stack.pid("web-1")) <= before + 6, 20, "file handles are back")


ENDS = {
    "a message that is too long": (frame(b"x" * 200_000), 1009),
    "a frame that is not masked": (frame(b"x", masked=False) + b"y" * 200_000, 1002),
    "text that is none": (frame(b"\xff" * 60_000) + b"y" * 200_000, 1007),
    "a packet that is none": (frame(b"4abc") + frame(b"3" * 60_000) * 3, 1008),
    "an event of the protocol's own": (frame(b'42["disconnect"]') + frame(b"3" * 60_000) * 3, 1008),
    "its own farewell": (frame(b"\x03\xe8", 8) + frame(b"3" * 60_000) * 3, 1000),
}


@pytest.mark.parametrize("what", ENDS)
def test_answers_and_the_close_code_arrive_before_the_end(what: str, stack: Stack, handles) -> None:
    sent, code = ENDS[what]
    events = b"".join(frame(f'42{number}["protocol:leave"]'.encode()) for number in range(EVENTS))

    with WebSocket(stack.port, stack.api.token("viewer")) as client:
        client.raw(events + sent)
        received = receive_all(client.sock)

    assert [number for number in range(EVENTS) if f'43{number}[{{"ok":true}}]'.encode() not in received] == []
    assert close_code_of(received) == code


def test_a_client_that_stays_after_the_close_frame_is_let_go(stack: Stack, handles) -> None:
    clients = [WebSocket(stack.port) for _ in range(5)]
    for client in clients:
        client.raw(frame(b"x" * 200_000))
    before = open_files(stack.pid("web-1"))
    until(lambda: open_files(stack.pid("web-1")) <= before - len(clients), 20, "the server has closed its ends")
    for client in clients:
        client.close()


@pytest.mark.parametrize("size", [2 * MIB, 8 * MIB])
def test_a_refusal_is_read_by_a_client_that_sends_a_body_nobody_wants(size: int, stack: Stack, handles) -> None:
    head = request("/api/v1/progress", "Connection: close", f"Content-Length: {size}", method="POST")

    with connect(stack.port, 20) as client:
        client.sendall(head + b"x" * size)
        reply = parse(receive_all(client), closed=True)

    assert reply.problem["code"] in ("UNAUTHORIZED", "BODY_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("head", [b"junk\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 9000 + b"\r\n"])
def test_a_head_that_is_refused_is_refused_in_words_whatever_follows_it(head: bytes, stack: Stack, handles) -> None:
    with connect(stack.port, 20) as client:
        client.sendall(head + b"z" * 4 * MIB)
        assert parse(receive_all(client), closed=True).status in (400, 431)


def test_a_client_that_stays_after_a_refusal_is_let_go(stack: Stack, handles) -> None:
    with connect(stack.port, 20) as client:
        client.sendall(b"junk\r\n")
        before = open_files(stack.pid("web-1"))
        until(lambda: open_files(stack.pid("web-1")) < before, 20, "the server has closed its end")


def test_whoever_is_sent_away_sees_that_the_server_leaves(make_stack: StackMaker) -> None:
    system = make_stack()
    with WebSocket(system.port, system.api.token("viewer")) as client:
        system.signal("web-1", signal.SIGTERM)
        assert close_code_of(receive_all(client.sock)) == 1001


@pytest.mark.parametrize(
    ("transport_ends", "packet"), [("1", "6"), ('42["too early"]', "1")], ids=["by the client", "by the server"]
)
def test_a_poll_that_waits_is_told_of_the_end(transport_ends: str, packet: str, stack: Stack, handles) -> None:
    opened = exchange(stack.port, request("/socket.io/?EIO=4&transport=polling"))
    target = f"/socket.io/?EIO=4&transport=polling&sid={json.loads(opened.body[1:])['sid']}"

    with connect(stack.port, 20) as polling:
        polling.sendall(request(target, "Connection: close"))
        with contextlib.suppress(TimeoutError):  # so that the poll is there first
            polling.settimeout(0.3)
            polling.recv(1)
        polling.settimeout(20)
        body = transport_ends.encode()
        exchange(stack.port, request(target, f"Content-Length: {len(body)}", body=body, method="POST"))
        assert parse(receive_all(polling), closed=True).body == packet.encode()
    assert exchange(stack.port, request(target)).status == 400
