"""A WebSocket's backlog, reading in small steps, and its closing."""

import gc
import socket
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from weakref import ref

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from app.realtime.fanout.delivery import RoomRecipients
    from app.realtime.fanout.engine_socket import EngineSocket
    from app.realtime.fanout.websocket import FRAMES_PER_YIELD, WebSocket

FRAME = b"x" * 1000


class Owner:
    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.received: list[str | bytes] = []

    def message_received(self, opcode: int, payload: str | bytes) -> None:
        self.received.append(payload)

    def connection_ended(self, reason: str) -> None:
        self.reasons.append(reason)


@pytest.fixture
def client() -> Iterator[tuple[WebSocket, socket.socket, Owner]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    owner = Owner()
    websocket = WebSocket(ours, owner, 1000)
    yield websocket, theirs, owner
    websocket.abort("over")
    theirs.close()


def masked_frame(payload: bytes, first: int = 0x81) -> bytes:
    return bytes((first, 0x80 | len(payload))) + bytes(4) + payload


def read_all(theirs: socket.socket) -> int:
    theirs.settimeout(0.2)
    size = 0
    try:
        while data := theirs.recv(1 << 16):
            size += len(data)
    except TimeoutError:
        pass
    return size


def test_a_websocket_with_a_backlog_is_counted_until_the_backlog_is_sent(client):
    websocket, theirs, _ = client
    recipients, written = RoomRecipients([websocket]), 0
    while websocket.backlog is None:
        recipients.write(FRAME, 0, 1)
        written += 1
    recipients.write(FRAME, 0, 1)

    assert WebSocket.backlogged == 1
    size = read_all(theirs)
    while websocket.backlog is not None:
        websocket._on_writable(0)
        size += read_all(theirs)
    assert WebSocket.backlogged == 0
    assert size == (written + 1) * len(FRAME)


def test_a_disconnected_slow_websocket_is_no_longer_counted_and_ignores_later_events(client):
    websocket, _, owner = client
    recipients = RoomRecipients([websocket])
    while not websocket.closed:
        recipients.write(FRAME, 0, 1)
    recipients.write(FRAME, 0, 1)

    assert WebSocket.backlogged == 0
    assert owner.reasons == ["slow client"]


def test_one_read_handles_a_few_frames_and_schedules_the_rest(client):
    websocket, theirs, owner = client
    theirs.sendall(masked_frame(b"x") * (2 * FRAMES_PER_YIELD + 1))

    websocket._on_readable(0)
    for step in (1, 2):
        assert len(owner.received) == step * FRAMES_PER_YIELD
        assert not websocket._listeners  # no new input before the buffered frames
        websocket._read_frames()
    assert len(owner.received) == 2 * FRAMES_PER_YIELD + 1


def test_a_paused_websocket_handles_no_frame_until_it_is_resumed(client):
    websocket, theirs, owner = client
    theirs.sendall(masked_frame(b"x") * (2 * FRAMES_PER_YIELD))
    websocket._on_readable(0)
    websocket.pause()
    websocket._read_frames()
    assert len(owner.received) == FRAMES_PER_YIELD
    websocket.resume()
    websocket._read_frames()
    assert len(owner.received) == 2 * FRAMES_PER_YIELD


def test_the_close_frame_follows_the_replies_to_earlier_messages(client):
    websocket, theirs, owner = client
    theirs.sendall(masked_frame(b"x") + masked_frame(b"", first=0x88) + masked_frame(b"y"))
    websocket._on_readable(0)
    assert (owner.received, owner.reasons) == (["x"], ["transport close"])
    websocket.write(b"answer")
    websocket.close()
    theirs.settimeout(5)
    assert theirs.recv(100) == b"answer\x88\x02\x03\xe8"
    assert theirs.recv(100) == b""


def test_a_closed_websocket_lingers_until_its_client_has_gone(client):
    websocket, theirs, _ = client
    before = WebSocket.lingering
    websocket.close(1001)
    websocket.close(1001)
    theirs.sendall(b"still being sent" * 1000)
    websocket._discard_input(0)
    assert (websocket.closed, WebSocket.lingering) == (False, before + 1)
    RoomRecipients([websocket]).write(FRAME, 0, 1)  # ignored
    theirs.close()
    while not websocket.closed:
        websocket._discard_input(0)
    assert WebSocket.lingering == before


def test_input_after_the_close_frame_is_discarded_up_to_a_limit(client, monkeypatch):
    monkeypatch.setattr("app.realtime.fanout.direct_socket.MAX_LINGER_BYTES", 1000)
    websocket, theirs, _ = client
    websocket.close()
    theirs.sendall(b"x" * 1001)
    websocket._discard_input(0)
    assert websocket.closed


def test_the_number_of_lingering_websockets_is_limited(client, monkeypatch):
    monkeypatch.setattr("app.realtime.fanout.direct_socket.MAX_LINGERING", WebSocket.lingering)
    websocket, theirs, _ = client
    websocket.close()
    assert websocket.closed
    assert theirs.recv(100) == b"\x88\x02\x03\xe8"


def test_a_client_that_has_gone_is_detected_by_the_next_event(client):
    websocket, theirs, owner = client
    theirs.close()
    RoomRecipients([websocket]).write(FRAME, 0, 1)

    assert owner.reasons == ["transport error"]
    assert WebSocket.backlogged == 0


def test_an_aborted_websocket_and_its_owner_are_freed_without_garbage_collection():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    owner = Owner()
    owner.websocket = WebSocket(ours, owner, 1000)
    freed = ref(owner)
    gc.disable()
    try:
        owner.websocket.abort("over")
        del owner
        assert freed() is None
    finally:
        gc.enable()
        theirs.close()


def test_connections_are_pinged_when_due_and_ended_without_an_answer_in_time(monkeypatch):
    connection, ended = EngineSocket.__new__(EngineSocket), []
    reason = SimpleNamespace(PING_TIMEOUT="ping timeout")
    connection.server = SimpleNamespace(ping_interval=25, ping_timeout=20, reason=reason)
    connection.last_ping, connection.closed, sent = 1.0, False, []
    monkeypatch.setattr(connection, "send", lambda packet: sent.append(packet.encode()))
    monkeypatch.setattr(connection, "connection_ended", ended.append)
    monkeypatch.setattr("app.realtime.fanout.engine_socket.time.monotonic", lambda: 100.0)

    connection.schedule_ping()
    assert connection.due == 125.0
    connection.ping()
    assert (sent, ended, connection.due) == (["2"], [], 120.0)
    connection.ping()
    assert (sent, ended) == (["2"], ["ping timeout"])
