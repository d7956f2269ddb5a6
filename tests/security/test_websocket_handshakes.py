"""Only the handshake of RFC 6455 opens a WebSocket; any other upgrade request is rejected with a problem."""

import pytest

from tests.security.raw_http import exchange, request
from tests.security.raw_websocket import PATH, connect
from tests.support.processes import until
from tests.support.stack import Stack

KEY, VERSION = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"
UPGRADE, CONNECTION = "Upgrade: websocket", "Connection: Upgrade"
SPLIT = "/socket.io/%0d%0aSet-Cookie:%20a=b?EIO=4&transport=websocket"
HIXIE_76 = ("Sec-WebSocket-Key1: 1 2", "Sec-WebSocket-Key2: 3 4", "Origin: http://x")
REJECTED = {
    "no Connection": (400, request(PATH, UPGRADE, KEY, VERSION)),
    "wrong Connection": (400, request(PATH, UPGRADE, "Connection: keep-alive", KEY, VERSION)),
    "no Upgrade": (400, request(PATH, CONNECTION, KEY, VERSION)),
    "wrong Upgrade": (400, request(PATH, "Upgrade: h2c", CONNECTION, KEY, VERSION)),
    "no header at all": (400, request(PATH)),
    "no key": (400, request(PATH, UPGRADE, CONNECTION, VERSION)),
    "an empty key": (400, request(PATH, UPGRADE, CONNECTION, "Sec-WebSocket-Key:", VERSION)),
    "a short key": (400, request(PATH, UPGRADE, CONNECTION, "Sec-WebSocket-Key: AAAA", VERSION)),
    "a long key": (400, request(PATH, UPGRADE, CONNECTION, f"Sec-WebSocket-Key: {'A' * 28}", VERSION)),
    "an invalid key": (400, request(PATH, UPGRADE, CONNECTION, f"Sec-WebSocket-Key: {'!' * 22}==", VERSION)),
    "two keys": (400, request(PATH, UPGRADE, CONNECTION, KEY, KEY, VERSION)),
    "no version, as Hixie-75": (426, request(PATH, UPGRADE, CONNECTION, KEY, "Origin: http://x")),
    "Hixie-76": (426, request(PATH, UPGRADE, CONNECTION, *HIXIE_76, body=b"12345678")),
    "an earlier version": (426, request(PATH, UPGRADE, CONNECTION, KEY, "Sec-WebSocket-Version: 8")),
    "a later version": (426, request(PATH, UPGRADE, CONNECTION, KEY, "Sec-WebSocket-Version: 14")),
    "two versions": (426, request(PATH, UPGRADE, CONNECTION, KEY, VERSION, VERSION)),
    "POST": (400, request(f"{PATH}&sid=x", UPGRADE, CONNECTION, KEY, VERSION, method="POST")),
    "HTTP/1.0": (400, request(PATH, UPGRADE, CONNECTION, KEY, VERSION).replace(b"HTTP/1.1", b"HTTP/1.0")),
    "line breaks in the target": (426, request(SPLIT, UPGRADE, CONNECTION, "Origin: http://x")),
}
LEFT_TO_ENGINE_IO = {
    "a method in lower case": request(PATH, UPGRADE, CONNECTION, KEY, VERSION, method="get"),
    "a method of its own": request(PATH, UPGRADE, CONNECTION, KEY, VERSION, method="BREW"),
    "POST without a session": request(PATH, UPGRADE, CONNECTION, KEY, VERSION, method="POST"),
    "an unknown session": request(f"{PATH}&sid=x", UPGRADE, CONNECTION, KEY, VERSION),
    "another origin": request(PATH, UPGRADE, CONNECTION, KEY, VERSION, "Origin: http://evil.example"),
    "no transport": request("/socket.io/?EIO=4", UPGRADE, CONNECTION, KEY, VERSION),
}


@pytest.mark.parametrize("case", REJECTED)
def test_an_invalid_handshake_is_rejected_with_a_problem_and_logged(case: str, stack: Stack) -> None:
    status, sent = REJECTED[case]
    before = len(stack.log_lines("websocket.handshake_refused"))

    reply = exchange(stack.port, sent)

    assert (reply.status, reply.problem["status"]) == (status, status)
    assert reply.problem["detail"]
    assert "set-cookie" not in reply.headers
    assert reply.headers.get("sec-websocket-version") == ("13" if status == 426 else None)
    until(lambda: len(stack.log_lines("websocket.handshake_refused")) == before + 1, 10, "it is logged")


@pytest.mark.parametrize("case", LEFT_TO_ENGINE_IO)
def test_an_error_of_engine_io_is_reported_in_the_form_of_its_protocol(case: str, stack: Stack) -> None:
    reply = exchange(stack.port, LEFT_TO_ENGINE_IO[case])

    assert reply.status == 400
    assert set(reply.json) == {"code", "message"}


def test_the_handshake_response_has_the_request_id_and_nothing_of_the_target(stack: Stack) -> None:
    target = SPLIT + "&x=%0d%0aX-Injected:%201"
    with connect(stack.port) as sock:
        sock.sendall(
            request(target, "upgrade: WebSocket", "connection: keep-alive, upgrade", KEY, VERSION, "X-Request-Id: r-1")
        )
        head = sock.recv(65536).partition(b"\r\n\r\n")[0].lower()

    assert head.startswith(b"http/1.1 101 ")
    assert b"x-request-id: r-1" in head
    assert b"sec-websocket-accept: icx+yqv66kxgm0fcwalwlflwtai=" in head
    assert b"set-cookie" not in head
    assert b"x-injected" not in head


@pytest.mark.parametrize("target", ["/healthz", "/", "/api/v1/protocols", "/socket.io"])
def test_an_upgrade_request_for_another_path_is_ignored(target: str, stack: Stack) -> None:
    response = exchange(stack.port, request(target, UPGRADE, CONNECTION, KEY, VERSION))

    assert response.status == exchange(stack.port, request(target)).status


def test_polling_works_through_a_proxy_that_adds_upgrade_headers_to_every_request(stack: Stack) -> None:
    assert exchange(stack.port, request("/socket.io/?EIO=4&transport=polling", UPGRADE, CONNECTION)).status == 200
