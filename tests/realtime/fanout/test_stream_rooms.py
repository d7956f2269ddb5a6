"""Which stream receives which event: after its state, after missed events, and while its client is slow."""

import itertools
import random
import re
import socket
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.core.errors import DependencyUnavailable
from app.observability import metrics
from tests.support.seeds import SEED

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from app.realtime.fanout import direct_socket, stream_rooms
    from app.realtime.fanout.delivery import YieldingWriter
    from app.realtime.fanout.direct_socket import DirectSocket
    from app.realtime.fanout.event_stream import MAX_INPUT_BYTES, EventStream, event_frame
    from app.realtime.fanout.stream_rooms import State, StreamRooms

VIEW = "P1"


class NoRedis:
    def subscribe_and_wait(self, channel: str, user: str) -> None: ...

    def unsubscribe(self, channel: str, user: str) -> bool:
        return False


class Client:
    """One stream with its client's end of a TCP connection."""

    def __init__(self, rooms: StreamRooms, number: int) -> None:
        self._rooms = rooms
        self.reasons: list[str] = []
        self.stream = EventStream(f"s{number}", self)
        self.received = b""
        self.is_chunked = bool(number % 2)
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.theirs = socket.create_connection(server.getsockname())
            self.ours, _ = server.accept()
        self.ours.setblocking(False)
        self.theirs.setblocking(False)

    def connection_ended(self, reason: str) -> None:
        self.reasons.append(reason)
        self._rooms.discard(VIEW, self.stream)

    def open(self, state: State) -> None:
        self.stream.open(self.ours, b"", is_chunked=self.is_chunked)
        self._rooms.start(VIEW, self.stream, state)

    def read(self) -> bytes:
        """All bytes so far, without the chunks' frames."""
        try:
            while piece := self.theirs.recv(1 << 20):
                self.received += piece
        except (BlockingIOError, ConnectionResetError):
            pass
        return unchunked(self.received) if self.is_chunked else self.received

    @property
    def messages(self) -> list[tuple[str, int]]:
        """(`state` or `event`, number) of each message."""
        found = re.findall(rb"event: (\S+)\nid: (\d+)\ndata: .*\n\n", self.read())
        return [("state" if name == b"state" else "event", int(number)) for name, number in found]

    def close(self) -> None:
        if self.stream.is_open:
            self.stream.release()
        self.ours.close()
        self.theirs.close()


def unchunked(data: bytes) -> bytes:
    found = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        found, data = found + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return found


class Room:
    """A room whose snapshots cover all events up to `latest`; background tasks wait for `run`."""

    def __init__(self) -> None:
        self.streams = StreamRooms(NoRedis(), YieldingWriter())  # type: ignore[arg-type]
        self.streams.read_state = self.state
        self.latest = 0
        self.readings = 0
        self.faults: list[Exception] = []
        self.tasks: list[Callable[[], None]] = []
        self.clients: list[Client] = []

    def state(self, _view: str = VIEW) -> State:
        self.readings += 1
        if self.faults:
            raise self.faults.pop()
        return State(self.latest, event_frame("state", b'{"seq":"%d"}' % self.latest, self.latest))

    def join(self) -> Client:
        client = Client(self.streams, len(self.clients))
        self.clients.append(client)
        self.streams.join(VIEW, client.stream)
        return client

    def enter(self) -> Client:
        client = self.join()
        client.open(self.state())
        return client

    def deliver(self, *numbers: int) -> None:
        self.latest = max(self.latest, *numbers)
        self.streams.deliver(VIEW, [(number, event_frame("told", b"{}", number)) for number in numbers])

    def run(self) -> None:
        while self.tasks:
            self.tasks.pop(0)()


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    made = Room()

    def spawn(function: Callable[..., None], *arguments: Any) -> None:
        made.tasks.append(lambda: function(*arguments))

    monkeypatch.setattr(stream_rooms.runtime, "spawn", spawn)
    monkeypatch.setattr(stream_rooms.runtime, "sleep", lambda _seconds: None)
    yield made
    for client in made.clients:
        client.close()
    assert DirectSocket.backlogged == 0


def test_a_stream_begins_with_the_state_and_misses_no_later_event(room: Room) -> None:
    room.deliver(1, 2)
    early = room.join()
    state = room.state()
    room.deliver(3)
    early.open(state)
    room.deliver(4, 5)
    assert early.messages == [("state", 2), ("event", 3), ("event", 4), ("event", 5)]


def test_events_that_the_state_covers_are_skipped_while_the_rooms_queue_is_sent(room: Room) -> None:
    room.deliver(1)
    live = room.enter()
    room.deliver(2)
    room.latest = 5  # three events wait in the queue
    late = room.enter()
    room.deliver(3, 4)
    room.deliver(5, 6)
    assert live.messages == [("state", 1), *(("event", number) for number in range(2, 7))]
    assert late.messages == [("state", 5), ("event", 6)]


def test_all_streams_share_one_new_state_when_an_event_was_dropped(room: Room) -> None:
    clients = [room.enter() for _ in range(120)]
    room.deliver(1)
    readings = room.readings
    room.deliver(3)
    room.deliver(4)
    room.latest = 6
    room.run()
    room.deliver(5, 6, 7)
    for client in clients:
        assert client.messages == [("state", 0), ("event", 1), ("state", 6), ("event", 7)]
    assert room.readings == readings + 1


def test_a_resync_sends_the_state_even_if_the_numbers_went_back(room: Room) -> None:
    room.latest = 1000
    client = room.enter()
    room.deliver(1001)
    room.latest = 7
    room.streams.resync([VIEW, "other"])
    room.run()
    room.deliver(8)
    assert client.messages == [("state", 1000), ("event", 1001), ("state", 7), ("event", 8)]


def test_a_stream_opened_during_a_resync_gets_the_state_again_too(room: Room) -> None:
    room.latest = 9
    room.enter()
    late, old = room.join(), room.state()
    room.latest = 4  # Redis was restored from an older copy
    room.streams.resync([VIEW])
    late.open(old)
    room.run()
    room.deliver(5)
    assert late.messages == [("state", 9), ("state", 4), ("event", 5)]


def test_a_number_that_came_before_brings_the_state_again(room: Room) -> None:
    client = room.enter()
    room.deliver(1, 2)
    room.deliver(2)
    room.run()
    assert client.messages == [("state", 0), ("event", 1), ("event", 2), ("state", 2)]


def test_a_state_that_cannot_be_read_is_tried_again_and_the_streams_end_at_last(room: Room) -> None:
    client = room.enter()
    room.faults = [DependencyUnavailable(), ValueError("unexpected")]
    room.streams.resync([VIEW])
    room.run()
    assert client.messages == [("state", 0), ("state", 0)]

    room.faults = [DependencyUnavailable() for _ in range(9)]
    room.streams.resync([VIEW])
    room.run()
    assert client.reasons == ["transport error"]
    assert client.read().endswith(b"\n\n")
    assert not room.streams.has(VIEW)


def test_events_beyond_what_is_held_for_a_slow_snapshot_bring_another_one(room: Room) -> None:
    client = room.join()
    state = room.state()
    for number in range(1, 2 * stream_rooms.MAX_RECENT):
        room.deliver(number)
    client.open(state)
    room.run()
    assert client.messages == [("state", 0), ("state", room.latest)]


def test_a_new_state_replaces_what_a_slow_reader_has_not_received(room: Room) -> None:
    slow, quick = room.enter(), room.enter()
    big, number = b'"' + b"x" * 100_000 + b'"', 0
    while slow.stream.backlog is None or len(slow.stream.backlog) < 4:
        number += 1
        room.streams.deliver(VIEW, [(number, event_frame("told", big, number))])
        quick.read()
    room.latest = number
    room.streams.resync([VIEW])
    room.run()

    assert len(slow.stream.backlog) == 2
    while slow.stream.backlog is not None:
        slow.read()
        slow.stream._on_writable(0)
    numbers = slow.messages
    assert numbers[-1] == ("state", number)
    assert len(numbers) < len(quick.messages) == number + 2


def test_a_snapshot_larger_than_the_limit_is_sent_and_shared_but_events_behind_it_are_limited(room: Room) -> None:
    client = room.join()
    huge = State(0, event_frame("state", b'"' + b"x" * (12 * direct_socket.MAX_BACKLOG_BYTES) + b'"', 0))
    client.open(huge)
    waiting = client.stream.backlog[-1]
    assert isinstance(waiting, memoryview)
    assert waiting.obj in (huge.message, huge.chunked)
    before = metrics.SLOW_SOCKETS._value.get()
    for number in itertools.count(1):
        if client.stream.closed:
            break
        room.streams.deliver(VIEW, [(number, event_frame("told", b'"' + b"x" * 100_000 + b'"', number))])
    assert client.reasons == ["slow client"]
    assert number <= 12
    assert metrics.SLOW_SOCKETS._value.get() == before  # the owner counts it


def test_a_client_that_closes_or_keeps_sending_is_noticed_without_an_event(room: Room) -> None:
    leaving, sending = room.enter(), room.enter()
    leaving.theirs.shutdown(socket.SHUT_WR)
    leaving.stream._on_readable(0)
    assert leaving.reasons == ["transport close"]
    sending.theirs.setblocking(True)
    sending.theirs.sendall(b"x" * MAX_INPUT_BYTES)
    for _ in range(4):
        sending.stream._on_readable(0)
    assert sending.reasons == []
    sending.theirs.sendall(b"x")
    sending.stream._on_readable(0)
    assert sending.reasons == ["flood"]


def test_an_ended_stream_gets_the_last_message_and_the_last_chunk(room: Room) -> None:
    for client in (room.enter(), room.enter()):
        client.stream.end("session ended", b"event: session:expired\ndata: {}\n\n")
        client.stream.end("again")
        assert client.reasons == ["session ended"]
        assert client.read().endswith(b"event: session:expired\ndata: {}\n\n")
        assert client.theirs.recv(10) == b""
        assert not client.is_chunked or client.received.endswith(b"0\r\n\r\n")


def test_a_stream_that_ended_before_it_was_opened_is_closed(room: Room) -> None:
    client = room.join()
    client.stream.end("session ended")
    client.open(room.state())
    assert client.read() == b""
    assert client.ours.fileno() == -1
    assert client.reasons == ["session ended"]


def test_a_message_is_one_line_of_data_whatever_white_space_its_json_has() -> None:
    assert event_frame("told", b'{\r\n "seq": "7",\n "text": "a\\r\\n\\nb\\u2028"}', 7) == (
        b'event: told\nid: 7\ndata: {   "seq": "7",  "text": "a\\r\\n\\nb\\u2028"}\n\n'
    )


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_each_stream_can_follow_the_room(room: Room, seed: int) -> None:
    """Each event has the number after what the stream has, or a state precedes it; nothing is missing at the end."""
    chance = random.Random(f"{SEED} {seed}")
    queue: list[int] = []
    joining: list[tuple[Client, State | None]] = []
    for _ in range(150):
        step = chance.random()
        if step < 0.35:
            room.latest += 1
            queue.append(room.latest)
            if len(queue) > 5:
                queue.pop(0)  # dropped
        elif step < 0.7 and queue:
            count = chance.randint(1, len(queue))
            sent, queue = queue[:count], queue[count:]
            latest = room.latest
            room.deliver(*sent)
            room.latest = latest
        elif step < 0.78:
            joining.append((room.join(), None))
        elif step < 0.9 and joining:
            client, state = joining.pop(0)
            if state is None:
                joining.append((client, room.state()))
            else:
                client.open(state)
        elif step < 0.93:
            room.streams.resync([VIEW])
        elif room.tasks:
            room.tasks.pop(0)()
    for client, state in joining:
        client.open(state or room.state())
    if queue:
        room.deliver(*queue)
    room.run()
    assert len(room.clients) > 2
    for client in room.clients:
        has = None
        for kind, number in client.messages:
            assert kind == "state" or number == has + 1, client.messages
            has = number
        assert has == room.latest, client.messages
        assert client.reasons == []
