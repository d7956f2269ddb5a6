"""Which members receive an event while others join, leave, read slowly or are still connecting."""

import socket
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from app.realtime.events import read_message

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from app.realtime.fanout import delivery
    from app.realtime.fanout.delivery import Deliverer
    from app.realtime.fanout.websocket import WebSocket

ROOM = "protocol:P1"


class Member:
    """One connection of the room: our end is a WebSocket, `received` is what its client has received."""

    def __init__(self, number: int) -> None:
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.theirs.setblocking(False)
        self.sid, self.engine_sid = f"s{number}", f"e{number}"
        self.reasons: list[str] = []
        self.is_connecting = False
        self.packets: list[str] = []
        self.websocket: Any = WebSocket(ours, self, 1000)
        self.closed = False

    def message_received(self, opcode: int, payload: str | bytes) -> None: ...

    def connection_ended(self, reason: str) -> None:
        self.reasons.append(reason)

    def send(self, packet: Any) -> None:
        self.packets.append(packet.data)

    @property
    def received(self) -> bytes:
        found = b""
        try:
            while piece := self.theirs.recv(1 << 16):
                found += piece
        except BlockingIOError:
            pass
        return found


class Room:
    """The part of the manager that the deliverer uses."""

    def __init__(self, count: int) -> None:
        self.members = [Member(number) for number in range(count)]
        self.server = SimpleNamespace(eio=SimpleNamespace(sockets={each.engine_sid: each for each in self.members}))

    def get_participants(self, _namespace: str, room: str) -> Iterator[tuple[str, str]]:
        if room == ROOM:
            yield from [(each.sid, each.engine_sid) for each in self.members]

    def is_pre_connected(self, sid: str, _namespace: str) -> bool:
        return next(each for each in self.members if each.sid == sid).is_connecting


@pytest.fixture
def rooms() -> Iterator[list[Room]]:
    made: list[Room] = []
    yield made
    for member in [each for room in made for each in room.members]:
        if member.websocket is not None:
            member.websocket.abort("over")
        member.theirs.close()
    assert WebSocket.backlogged == 0


def make(rooms: list[Room], count: int) -> tuple[Room, Deliverer]:
    room = Room(count)
    rooms.append(room)
    return room, Deliverer(room)


def framed(*packets: bytes) -> bytes:
    return b"".join(map(delivery.frame, packets))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 9])
def test_every_member_receives_each_event_once_and_in_order_across_yields(rooms, monkeypatch, count):
    monkeypatch.setattr(delivery, "CLIENTS_PER_YIELD", 2)
    yields = []
    monkeypatch.setattr(delivery.runtime, "sleep", yields.append)
    room, deliverer = make(rooms, count)
    everyone = list(room.members)

    deliverer.deliver(ROOM, [b"42a", b"42b"])
    deliverer.deliver(ROOM, [b"42c"])

    assert [each.received for each in everyone] == [framed(b"42a", b"42b", b"42c")] * count
    assert len(yields) == 2 * count // 2


def test_a_member_that_leaves_during_a_yield_receives_nothing_and_the_others_do(rooms, monkeypatch):
    monkeypatch.setattr(delivery, "CLIENTS_PER_YIELD", 2)
    room, deliverer = make(rooms, 6)
    everyone = list(room.members)

    def leave(_seconds: float) -> None:
        if len(room.members) == 6:
            del room.members[3]
            deliverer.invalidate([ROOM])

    monkeypatch.setattr(delivery.runtime, "sleep", leave)
    deliverer.deliver(ROOM, [b"42a"])

    received = [each.received for each in everyone]
    assert received == [framed(b"42a")] * 3 + [b""] + [framed(b"42a")] * 2
    everyone[3].websocket.abort("over")
    everyone[3].theirs.close()


def test_a_member_that_joins_during_a_yield_receives_only_later_events(rooms, monkeypatch):
    monkeypatch.setattr(delivery, "CLIENTS_PER_YIELD", 2)
    room, deliverer = make(rooms, 4)
    newcomer = Member(9)
    room.server.eio.sockets[newcomer.engine_sid] = newcomer

    def come(_seconds: float) -> None:
        if newcomer not in room.members:
            room.members.append(newcomer)
            deliverer.invalidate([ROOM])

    monkeypatch.setattr(delivery.runtime, "sleep", come)
    deliverer.deliver(ROOM, [b"42a"])
    deliverer.deliver(ROOM, [b"42b"])

    assert [each.received for each in room.members[:4]] == [framed(b"42a", b"42b")] * 4
    assert newcomer.received == framed(b"42b")


def test_a_slow_reader_receives_everything_later_and_delays_no_other(rooms):
    room, deliverer = make(rooms, 3)
    slow, big = room.members[1], b"42" + b"x" * 50_000
    sent = 0
    while slow.websocket.backlog is None:
        deliverer.deliver(ROOM, [big])
        sent += len(framed(big))
        for other in (room.members[0], room.members[2]):
            assert other.received == framed(big)
    assert WebSocket.backlogged == 1
    deliverer.deliver(ROOM, [b"42last"])
    assert [each.received for each in (room.members[0], room.members[2])] == [framed(b"42last")] * 2
    found = slow.received
    for _ in range(1000):
        if slow.websocket.backlog is None:
            break
        slow.websocket._on_writable(0)
        found += slow.received
    assert len(found) == sent + len(framed(b"42last"))
    assert found.endswith(framed(b"42last"))
    assert WebSocket.backlogged == 0


def test_a_reader_with_a_full_backlog_is_disconnected_and_the_others_continue(rooms):
    room, deliverer = make(rooms, 2)
    slow, quick = room.members
    big = b"42" + b"x" * 200_000
    for _ in range(40):
        deliverer.deliver(ROOM, [big])
        assert quick.received.endswith(b"x" * 1000)
        while quick.websocket.backlog is not None:
            quick.websocket._on_writable(0)
            quick.received  # noqa: B018 - reads
    assert slow.reasons == ["slow client"]
    assert quick.reasons == []


def test_a_member_still_connecting_gets_its_events_after_its_connect(rooms):
    room, deliverer = make(rooms, 2)
    early = room.members[0]
    early.is_connecting = True
    deliverer.deliver(ROOM, [b"42a"])
    deliverer.deliver(ROOM, [b"42b", b"42c"])
    assert (early.received, early.packets) == (b"", [])
    deliverer.deliver_held(early.sid, early)
    assert early.packets == ["2a", "2b", "2c"]
    deliverer.deliver_held(early.sid, early)
    assert len(early.packets) == 3


def test_events_held_for_a_connection_that_ended_are_discarded(rooms):
    room, deliverer = make(rooms, 1)
    room.members[0].is_connecting = True
    deliverer.deliver(ROOM, [b"42a"])
    deliverer.discard_held("s0")
    deliverer.deliver_held("s0", room.members[0])
    assert room.members[0].packets == []


def test_polling_connections_receive_packets_and_closed_ones_nothing(rooms):
    room, deliverer = make(rooms, 3)
    polling, closed, gone = room.members
    polling.websocket.abort("over")
    polling.websocket, closed.closed = None, True
    del room.server.eio.sockets[gone.engine_sid]
    deliverer.deliver(ROOM, [b"42a"])
    assert polling.packets == ["2a"]
    assert (closed.received, gone.received) == (b"", b"")


def test_members_of_another_room_receive_nothing(rooms):
    room, deliverer = make(rooms, 1)
    deliverer.deliver("protocol:P2", [b"42a"])
    assert room.members[0].received == b""


def test_a_change_of_members_applies_from_the_next_event(rooms):
    room, deliverer = make(rooms, 2)
    deliverer.deliver(ROOM, [b"42a"])
    left = room.members.pop()
    deliverer.invalidate([ROOM])
    deliverer.deliver(ROOM, [b"42b"])
    room.members.append(left)
    deliverer.invalidate_all()
    deliverer.deliver(ROOM, [b"42c"])
    assert room.members[0].received == framed(b"42a", b"42b", b"42c")
    assert left.received == framed(b"42a", b"42c")


def test_a_message_becomes_the_packet_of_its_event_and_has_its_seq():
    message = read_message("~P1", b'a:b 7 1795379400123 {"x":"\xc3\xa9 y"}')
    envelope = (
        b'{"eventType":"a:b","timestamp":"2026-11-22T20:30:00.123Z","protocolId":"P1","seq":"7",'
        b'"data":{"x":"\xc3\xa9 y"}}'
    )
    assert message.packet() == b'42["a:b",' + envelope + b"]"
    assert (message.seq, message.envelope) == (7, envelope)
    assert b'"timestamp":"2026-11-22T20:30:00.000Z"' in read_message("P1", b"a:b 7 1795379400000 {}").envelope
