"""A wire that is behind is counted, since all are written to directly while none is."""

import gc
import socket
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from weakref import ref

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from app.realtime.fanout.delivery import Audience
    from app.realtime.fanout.pinger import Pinger
    from app.realtime.fanout.wire import Wire

FRAME = b"x" * 1000


class Owner:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def wire_received(self, opcode: int, payload: str | bytes) -> None: ...

    def wire_ended(self, reason: str) -> None:
        self.reasons.append(reason)


@pytest.fixture
def client() -> Iterator[tuple[Wire, socket.socket, Owner]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    owner = Owner()
    wire = Wire(ours, owner, 1000)
    yield wire, theirs, owner
    wire.end("over")
    theirs.close()


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
    wire, theirs, _ = client
    audience, written = Audience([wire]), 0
    while wire.backlog is None:
        audience.write(FRAME, 0, 1)
        written += 1
    audience.write(FRAME, 0, 1)

    assert Wire.clogged == 1
    size = read_all(theirs)
    while wire.backlog is not None:
        wire._writable(0)
        size += read_all(theirs)
    assert Wire.clogged == 0
    assert size == (written + 1) * len(FRAME)


def test_who_is_cut_off_is_behind_no_more_and_later_events_do_it_no_harm(client):
    wire, _, owner = client
    audience = Audience([wire])
    while not wire.closed:
        audience.write(FRAME, 0, 1)
    audience.write(FRAME, 0, 1)

    assert Wire.clogged == 0
    assert owner.reasons == ["too slow"]


def test_a_client_that_went_away_is_found_out_by_the_next_event(client):
    wire, theirs, owner = client
    theirs.close()
    Audience([wire]).write(FRAME, 0, 1)

    assert owner.reasons == ["transport error"]
    assert Wire.clogged == 0


def test_an_ended_wire_and_its_owner_are_freed_at_once_without_the_collector():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    owner = Owner()
    owner.wire = Wire(ours, owner, 1000)
    freed = ref(owner)
    gc.disable()
    try:
        owner.wire.end("over")
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
