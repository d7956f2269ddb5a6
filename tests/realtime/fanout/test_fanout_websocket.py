"""A websocket that is behind is counted, since all are written to directly while none is."""

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
    from app.realtime.fanout.pinger import Pinger
    from app.realtime.fanout.websocket import FRAMES_PER_TURN, WebSocket

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
    websocket.end("over")
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


def test_who_is_behind_is_counted_until_it_has_caught_up(client):
    websocket, theirs, _ = client
    audience, written = RoomRecipients([websocket]), 0
    while websocket.backlog is None:
        audience.write(FRAME, 0, 1)
        written += 1
    audience.write(FRAME, 0, 1)

    assert WebSocket.backlogged == 1
    size = read_all(theirs)
    while websocket.backlog is not None:
        websocket._writable(0)
        size += read_all(theirs)
    assert WebSocket.backlogged == 0
    assert size == (written + 1) * len(FRAME)


def test_who_is_cut_off_is_behind_no_more_and_later_events_do_it_no_harm(client):
    websocket, _, owner = client
    audience = RoomRecipients([websocket])
    while not websocket.closed:
        audience.write(FRAME, 0, 1)
    audience.write(FRAME, 0, 1)

    assert WebSocket.backlogged == 0
    assert owner.reasons == ["too slow"]


def test_one_turn_takes_a_few_frames_and_leaves_the_rest_for_the_next(client):
    websocket, theirs, owner = client
    theirs.sendall(masked_frame(b"x") * (2 * FRAMES_PER_TURN + 1))

    websocket._readable(0)
    for turn in (1, 2):
        assert len(owner.received) == turn * FRAMES_PER_TURN
        assert not websocket._listeners  # nothing new is read before what is here
        websocket._take_frames()
    assert len(owner.received) == 2 * FRAMES_PER_TURN + 1


def test_a_wire_that_is_paused_takes_nothing_until_it_is_to_read_again(client):
    websocket, theirs, owner = client
    theirs.sendall(masked_frame(b"x") * (2 * FRAMES_PER_TURN))
    websocket._readable(0)
    websocket.pause()
    websocket._take_frames()
    assert len(owner.received) == FRAMES_PER_TURN
    websocket.read()
    websocket._take_frames()
    assert len(owner.received) == 2 * FRAMES_PER_TURN


def test_the_farewell_follows_what_the_owner_answers_to_what_came_before(client):
    websocket, theirs, owner = client
    theirs.sendall(masked_frame(b"x") + masked_frame(b"", first=0x88) + masked_frame(b"y"))
    websocket._readable(0)
    assert (owner.received, owner.reasons) == (["x"], ["transport close"])
    websocket.write(b"answer")
    websocket.finish()
    theirs.settimeout(5)
    assert theirs.recv(100) == b"answer\x88\x02\x03\xe8"
    assert theirs.recv(100) == b""


def test_a_wire_that_has_said_farewell_stays_until_its_client_has_gone(client):
    websocket, theirs, _ = client
    before = WebSocket.lingering
    websocket.finish(1001)
    websocket.finish(1001)
    theirs.sendall(b"what it was still sending" * 1000)
    websocket._drain(0)
    assert (websocket.closed, WebSocket.lingering) == (False, before + 1)
    RoomRecipients([websocket]).write(FRAME, 0, 1)  # harms nobody
    theirs.close()
    while not websocket.closed:
        websocket._drain(0)
    assert WebSocket.lingering == before


def test_who_sends_on_after_the_farewell_is_not_read_for_ever(client, monkeypatch):
    monkeypatch.setattr("app.realtime.fanout.websocket.LINGER_BYTES", 1000)
    websocket, theirs, _ = client
    websocket.finish()
    theirs.sendall(b"x" * 1001)
    websocket._drain(0)
    assert websocket.closed


def test_only_so_many_wires_stay_at_a_time(client, monkeypatch):
    monkeypatch.setattr("app.realtime.fanout.websocket.MAX_LINGERING", WebSocket.lingering)
    websocket, theirs, _ = client
    websocket.finish()
    assert websocket.closed
    assert theirs.recv(100) == b"\x88\x02\x03\xe8"


def test_a_client_that_went_away_is_found_out_by_the_next_event(client):
    websocket, theirs, owner = client
    theirs.close()
    RoomRecipients([websocket]).write(FRAME, 0, 1)

    assert owner.reasons == ["transport error"]
    assert WebSocket.backlogged == 0


def test_an_ended_wire_and_its_owner_are_freed_at_once_without_the_collector():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    owner = Owner()
    owner.websocket = WebSocket(ours, owner, 1000)
    freed = ref(owner)
    gc.disable()
    try:
        owner.websocket.end("over")
        del owner
        assert freed() is None
    finally:
        gc.enable()
        theirs.close()


def test_the_pinger_keeps_no_connection_that_has_ended():
    connection, pinger = Owner(), Pinger(SimpleNamespace(ping_interval=25))
    pinger._running = True  # its greenlet would need a hub
    pinger.ping_later(connection)
    freed = ref(connection)

    del connection

    assert freed() is None
    pinger._to_ping[0] = (0.0, freed)
    pinger._ping_due()
    assert not pinger._to_ping
    assert not pinger._to_check
