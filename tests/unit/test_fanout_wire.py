"""A wire that is behind is counted, since all are written to directly while none is."""

import socket
import warnings
from collections.abc import Iterator

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from app.realtime.fanout.delivery import Audience
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
