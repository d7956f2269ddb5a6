"""Connections that keep to no rule: each costs little, is ended, and leaves nothing; nobody else notices."""

import contextlib
import http.client
import json
import time
from collections.abc import Iterator

import pytest

from tests.security.wire import PATH, WebSocket, connect, frame, open_files
from tests.support.pace import patience
from tests.support.processes import until
from tests.support.stack import Stack, StackMaker

PING = 9


@pytest.fixture(scope="module")
def system(make_shared_stack: StackMaker) -> Stack:
    return make_shared_stack(DASHBOARD_HANDSHAKE_SECONDS="2")


@pytest.fixture
def handles(system: Stack) -> Iterator[None]:
    """What the process holds open is back to what it was."""
    before = open_files(system.pid("web-1"))
    yield
    until(lambda: open_files(system.pid("web-1")) <= before + 6, 20, "file handles are back")


def polling(system: Stack, method: str, query: str = "", body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=10)
    try:
        connection.request(method, f"/socket.io/?EIO=4&transport=polling{query}", body=body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def polling_session(system: Stack) -> str:
    status, body = polling(system, "GET")
    assert status == 200
    return json.loads(body[1:])["sid"]


@pytest.mark.parametrize("body", [b"4" * 70_000, b'zzz\x1e{"', b"\xff\xfe"], ids=["too long", "garbled", "not UTF-8"])
def test_a_poll_that_makes_no_sense_is_a_400_and_ends_its_session(system: Stack, handles, body: bytes) -> None:
    sid = polling_session(system)
    status, _ = polling(system, "POST", f"&sid={sid}", body)
    assert status == 400
    assert polling(system, "GET", f"&sid={sid}")[0] == 400


def test_who_goes_on_connecting_after_refusals_is_ended(system: Stack, handles) -> None:
    with WebSocket(system.port) as stranger:
        for _ in range(12):
            stranger.text('40{"token":"x"}')
        until(lambda: not stranger.is_open, 5, "the stranger is ended")
    assert len(system.log_lines("socket.refused")) <= 10


@pytest.mark.parametrize("packet", ["430[]", "40/foo,", '42["protocol:leave"]', "40"])
def test_packets_without_end_end_the_connection_and_hold_up_nobody(system: Stack, handles, packet: str) -> None:
    caller = system.api.viewer
    caller.get("/protocols").expect(200)
    with WebSocket(system.port, None if packet == "40" else system.api.token("viewer")) as flooding:
        with contextlib.suppress(OSError):
            for _ in range(6):
                flooding.raw(frame(packet.encode()) * (60_000 // (len(packet) + 6)))
        caller.get("/protocols").expect(200)
        until(lambda: not flooding.is_open, 10, "the flood is ended")


def test_an_upgrade_that_is_never_finished_is_given_up_also_when_its_client_pings(system: Stack, handles) -> None:
    sid = polling_session(system)
    upgrade = connect(system.port)
    upgrade.sendall(
        f"GET {PATH}&sid={sid} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    upgrade.settimeout(patience(1))
    ended = time.monotonic() + patience(20)
    with pytest.raises(OSError):  # noqa: PT012 - each of the three may meet the end
        while time.monotonic() < ended:
            upgrade.sendall(frame(b"", PING))
            time.sleep(0.5)
            if not upgrade.recv(1000):
                raise ConnectionResetError
    assert time.monotonic() < ended


@pytest.mark.parametrize("told", ["revoked", "expired"])
def test_who_is_told_to_go_and_stays_is_hung_up_on(system: Stack, handles, told: str) -> None:
    token = system.api.token("viewer", sub=f"stays-{told}", ttl=3600 if told == "revoked" else -3)
    with WebSocket(system.port, token) as stays:
        if told == "revoked":
            system.api.admin.post("/tokens/revoke", {"subject": f"stays-{told}", "reason": "left"}).expect(201)
        stays.wait_for(f"session:{told}".encode())
        until(lambda: not stays.is_open, 5, "the connection is ended")


def test_an_event_whose_name_is_a_number_is_unknown_and_ends_nothing(system: Stack) -> None:
    with WebSocket(system.port, system.api.token("viewer")) as client:
        client.text('427[5,{"a":1}]')
        assert b"UNKNOWN_EVENT" in client.wait_for(b"UNKNOWN_EVENT")
        client.text('428["protocol:leave"]')
        client.wait_for(b'438[{"ok":true}]')


@pytest.mark.parametrize("arguments", ['{"protocolId":"P1"},5', "{},{},{}"])
def test_a_join_with_more_arguments_is_malformed_and_no_crash(system: Stack, arguments: str) -> None:
    with WebSocket(system.port, system.api.token("viewer")) as client:
        client.text(f'427["protocol:join",{arguments}]')
        assert b"INVALID_MESSAGE" in client.wait_for(b"INVALID_MESSAGE")
    assert "Traceback" not in system.log


def test_what_strangers_ask_for_is_not_in_the_log_but_counted(system: Stack) -> None:
    before = system.metric("dashboard_engine_refusals_total")
    assert polling(system, "GET", "&sid=a%0aINFO%20FAKE%1b[31m")[0] == 400
    assert system.metric("dashboard_engine_refusals_total") == before + 1
    assert "FAKE" not in system.log
