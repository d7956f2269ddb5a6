"""Who is told of an event while members come, leave, lag behind or are still connecting."""

import socket
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from app.realtime.fanout import delivery
    from app.realtime.fanout.delivery import Deliverer, QueueMessage, decode, seq_of
    from app.realtime.fanout.websocket import WebSocket

ROOM = "protocol:P1"


class Member:
    """One connection of the room: our end is a websocket, `heard` is what its client has received."""

    def __init__(self, number: int) -> None:
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.theirs.setblocking(False)
        self.sid, self.engine_sid = f"s{number}", f"e{number}"
        self.reasons: list[str] = []
        self.is_early = False
        self.packets: list[str] = []
        self.websocket: Any = WebSocket(ours, self, 1000)
        self.closed = False

    def message_received(self, opcode: int, payload: str | bytes) -> None: ...

    def connection_ended(self, reason: str) -> None:
        self.reasons.append(reason)

    def send(self, packet: Any) -> None:
        self.packets.append(packet.data)

    @property
    def heard(self) -> bytes:
        found = b""
        try:
            while piece := self.theirs.recv(1 << 16):
                found += piece
        except BlockingIOError:
            pass
        return found


class Room:
    """As much of the manager as the audiences ask."""

    def __init__(self, count: int) -> None:
        self.members = [Member(number) for number in range(count)]
        self.server = SimpleNamespace(eio=SimpleNamespace(sockets={each.engine_sid: each for each in self.members}))

    def get_participants(self, _namespace: str, room: str) -> Iterator[tuple[str, str]]:
        if room == ROOM:
            yield from [(each.sid, each.engine_sid) for each in self.members]

    def is_pre_connected(self, sid: str, _namespace: str) -> bool:
        return next(each for each in self.members if each.sid == sid).is_early


@pytest.fixture
def rooms() -> Iterator[list[Room]]:
    made: list[Room] = []
    yield made
    for member in [each for room in made for each in room.members]:
        if member.websocket is not None:
            member.websocket.end("over")
        member.theirs.close()
    assert WebSocket.backlogged == 0


def make(rooms: list[Room], count: int) -> tuple[Room, Deliverer]:
    room = Room(count)
    rooms.append(room)
    return room, Deliverer(room)


def framed(*packets: bytes) -> bytes:
    return b"".join(map(delivery.frame, packets))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 9])
def test_every_member_is_told_each_event_once_and_in_order_however_often_others_get_a_turn(rooms, monkeypatch, count):
    monkeypatch.setattr(delivery, "CLIENTS_PER_YIELD", 2)
    turns = []
    monkeypatch.setattr(delivery.runtime, "sleep", turns.append)
    room, audiences = make(rooms, count)
    everyone = list(room.members)

    audiences.send(ROOM, [b"42a", b"42b"])
    audiences.send(ROOM, [b"42c"])

    assert [each.heard for each in everyone] == [framed(b"42a", b"42b", b"42c")] * count
    assert len(turns) == 2 * count // 2


def test_who_left_while_others_had_their_turn_is_not_told_and_the_rest_are(rooms, monkeypatch):
    monkeypatch.setattr(delivery, "CLIENTS_PER_YIELD", 2)
    room, audiences = make(rooms, 6)
    everyone = list(room.members)

    def leave(_seconds: float) -> None:
        if len(room.members) == 6:
            del room.members[3]
            audiences.drop([ROOM])

    monkeypatch.setattr(delivery.runtime, "sleep", leave)
    audiences.send(ROOM, [b"42a"])

    told = [each.heard for each in everyone]
    assert told == [framed(b"42a")] * 3 + [b""] + [framed(b"42a")] * 2
    everyone[3].websocket.end("over")
    everyone[3].theirs.close()


def test_who_comes_while_others_have_their_turn_is_not_told_of_what_was_before_it(rooms, monkeypatch):
    monkeypatch.setattr(delivery, "CLIENTS_PER_YIELD", 2)
    room, audiences = make(rooms, 4)
    newcomer = Member(9)
    room.server.eio.sockets[newcomer.engine_sid] = newcomer

    def come(_seconds: float) -> None:
        if newcomer not in room.members:
            room.members.append(newcomer)
            audiences.drop([ROOM])

    monkeypatch.setattr(delivery.runtime, "sleep", come)
    audiences.send(ROOM, [b"42a"])
    audiences.send(ROOM, [b"42b"])

    assert [each.heard for each in room.members[:4]] == [framed(b"42a", b"42b")] * 4
    assert newcomer.heard == framed(b"42b")


def test_a_reader_that_lags_is_told_all_of_it_later_and_holds_up_nobody(rooms):
    room, audiences = make(rooms, 3)
    slow, big = room.members[1], b"42" + b"x" * 50_000
    sent = 0
    while slow.websocket.backlog is None:
        audiences.send(ROOM, [big])
        sent += len(framed(big))
        for other in (room.members[0], room.members[2]):
            assert other.heard == framed(big)
    assert WebSocket.backlogged == 1
    audiences.send(ROOM, [b"42last"])
    assert [each.heard for each in (room.members[0], room.members[2])] == [framed(b"42last")] * 2
    found = slow.heard
    for _ in range(1000):
        if slow.websocket.backlog is None:
            break
        slow.websocket._writable(0)
        found += slow.heard
    assert len(found) == sent + len(framed(b"42last"))
    assert found.endswith(framed(b"42last"))
    assert WebSocket.backlogged == 0


def test_a_reader_too_far_behind_is_cut_off_and_the_others_go_on(rooms):
    room, audiences = make(rooms, 2)
    slow, quick = room.members
    big = b"42" + b"x" * 200_000
    for _ in range(40):
        audiences.send(ROOM, [big])
        assert quick.heard.endswith(b"x" * 1000)
        while quick.websocket.backlog is not None:
            quick.websocket._writable(0)
            quick.heard  # noqa: B018 - reads
    assert slow.reasons == ["too slow"]
    assert quick.reasons == []


def test_a_member_still_connecting_gets_its_events_after_its_connect(rooms):
    room, audiences = make(rooms, 2)
    early = room.members[0]
    early.is_early = True
    audiences.send(ROOM, [b"42a"])
    audiences.send(ROOM, [b"42b", b"42c"])
    assert (early.heard, early.packets) == (b"", [])
    audiences.arrived(early.sid, early)
    assert early.packets == ["2a", "2b", "2c"]
    audiences.arrived(early.sid, early)
    assert len(early.packets) == 3


def test_what_waited_for_a_connection_that_never_came_is_forgotten(rooms):
    room, audiences = make(rooms, 1)
    room.members[0].is_early = True
    audiences.send(ROOM, [b"42a"])
    audiences.forget("s0")
    audiences.arrived("s0", room.members[0])
    assert room.members[0].packets == []


def test_connections_without_a_wire_and_closed_ones(rooms):
    room, audiences = make(rooms, 3)
    polling, closed, gone = room.members
    polling.websocket.end("over")
    polling.websocket, closed.closed = None, True
    del room.server.eio.sockets[gone.engine_sid]
    audiences.send(ROOM, [b"42a"])
    assert polling.packets == ["2a"]
    assert (closed.heard, gone.heard) == (b"", b"")


def test_another_rooms_members_are_not_told(rooms):
    room, audiences = make(rooms, 1)
    audiences.send("protocol:P2", [b"42a"])
    assert room.members[0].heard == b""


def test_a_change_of_members_counts_from_the_next_event_on(rooms):
    room, audiences = make(rooms, 2)
    audiences.send(ROOM, [b"42a"])
    left = room.members.pop()
    audiences.drop([ROOM])
    audiences.send(ROOM, [b"42b"])
    room.members.append(left)
    audiences.drop_all()
    audiences.send(ROOM, [b"42c"])
    assert room.members[0].heard == framed(b"42a", b"42b", b"42c")
    assert left.heard == framed(b"42a", b"42c")


def test_a_queue_message_becomes_the_packet_of_its_event_and_tells_its_number():
    message = decode(b'{"method":"emit","event":"a:b","data":[{"seq":"7","data":{"x":"\xc3\xa9"}}],"namespace":"/"}')
    assert message.is_plain
    assert message.packet() == b'42["a:b",{"seq":"7","data":{"x":"\xc3\xa9"}}]'
    assert seq_of(message) == 7
    assert seq_of(decode(b'{"method":"emit","event":"a","data":[{}]}')) is None
    assert seq_of(decode(b'{"method":"emit","event":"a","data":[]}')) is None


@pytest.mark.parametrize("member", [{"binary": True}, {"skip_sid": "s"}, {"callback": "c"}, {"namespace": "/x"}])
def test_what_is_not_the_same_for_all_is_not_plain(member):
    assert not QueueMessage(method="emit", event="a", data=[], **member).is_plain
