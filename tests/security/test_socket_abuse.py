"""Connections that violate the protocol are closed, leak nothing and do not affect other clients."""

import contextlib
import http.client
import json
import time

import pytest

from tests.security.raw_websocket import PATH, WebSocket, connect, frame
from tests.support.machine_speed import patience
from tests.support.processes import until
from tests.support.stack import Stack, StackMaker

PING = 9


@pytest.fixture(scope="module")
def stack(make_web: StackMaker) -> Stack:
    return make_web(DASHBOARD_HANDSHAKE_SECONDS="2")


def polling(stack: Stack, method: str, query: str = "", body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=10)
    try:
        connection.request(method, f"/socket.io/?EIO=4&transport=polling{query}", body=body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def polling_session(stack: Stack) -> str:
    status, body = polling(stack, "GET")
    assert status == 200
    return json.loads(body[1:])["sid"]


def test_a_client_that_keeps_connecting_after_rejections_is_disconnected(stack: Stack, no_leaks) -> None:
    with WebSocket(stack.port) as client:
        for _ in range(12):
            client.text('40{"token":"x"}')
        until(lambda: not client.is_open, 5, "the connection is closed")
    assert len(stack.log_lines("socket.refused")) <= 10


@pytest.mark.parametrize("packet", ["430[]", "40/foo,", '42["protocol:leave"]', "40"])
def test_a_flood_of_packets_closes_the_connection_and_does_not_delay_others(
    stack: Stack, no_leaks, packet: str
) -> None:
    caller = stack.api.viewer
    caller.get("/protocols").expect(200)
    with WebSocket(stack.port, None if packet == "40" else stack.api.token("viewer")) as flooding:
        with contextlib.suppress(OSError):
            for _ in range(6):
                flooding.raw(frame(packet.encode()) * (60_000 // (len(packet) + 6)))
        caller.get("/protocols").expect(200)
        until(lambda: not flooding.is_open, 10, "the connection is closed")


def test_an_unfinished_upgrade_is_closed_even_if_its_client_pings(stack: Stack, no_leaks) -> None:
    sid = polling_session(stack)
    upgrade = connect(stack.port)
    upgrade.sendall(
        f"GET {PATH}&sid={sid} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    upgrade.settimeout(patience(1))
    deadline = time.monotonic() + patience(20)
    with pytest.raises(OSError):  # noqa: PT012 - any of the three may raise
        while time.monotonic() < deadline:
            upgrade.sendall(frame(b"", PING))
            time.sleep(0.5)
            if not upgrade.recv(1000):
                raise ConnectionResetError
    assert time.monotonic() < deadline


@pytest.mark.parametrize("reason", ["revoked", "expired"])
def test_a_client_that_ignores_the_end_of_its_session_is_disconnected(stack: Stack, no_leaks, reason: str) -> None:
    token = stack.api.token("viewer", sub=f"stays-{reason}", ttl=3600 if reason == "revoked" else -3)
    with WebSocket(stack.port, token) as stays:
        if reason == "revoked":
            stack.api.admin.post("/tokens/revoke", {"subject": f"stays-{reason}", "reason": "left"}).expect(201)
        stays.wait_for(f"session:{reason}".encode())
        until(lambda: not stays.is_open, 5, "the connection is closed")


def test_an_event_whose_name_is_a_number_is_rejected_and_the_connection_stays_open(stack: Stack) -> None:
    with WebSocket(stack.port, stack.api.token("viewer")) as client:
        client.text('427[5,{"a":1}]')
        assert b"UNKNOWN_EVENT" in client.wait_for(b"UNKNOWN_EVENT")
        client.text('428["protocol:leave"]')
        client.wait_for(b'438[{"ok":true}]')


@pytest.mark.parametrize("arguments", ['{"protocolId":"P1"},5', "{},{},{}"])
def test_a_join_with_extra_arguments_is_rejected_as_malformed(stack: Stack, arguments: str) -> None:
    logged = len(stack.log)
    with WebSocket(stack.port, stack.api.token("viewer")) as client:
        client.text(f'427["protocol:join",{arguments}]')
        assert b"INVALID_MESSAGE" in client.wait_for(b"INVALID_MESSAGE")
    assert "Traceback" not in stack.log[logged:]


def test_a_rejected_polling_request_is_counted_and_its_query_is_not_logged(stack: Stack) -> None:
    before = stack.metric("dashboard_engine_refusals_total")
    assert polling(stack, "GET", "&sid=a%0aINFO%20FAKE%1b[31m")[0] == 400
    assert stack.metric("dashboard_engine_refusals_total") == before + 1
    assert "FAKE" not in stack.log
