"""Which connections are closed after the connection to Redis was lost: those whose room may have missed events."""

import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from app.realtime.redis_keys import CONTROL_CHANNEL, channel_of, partition_key, partition_of, room_key
from app.realtime.scripts import RoomScripts, scripts_at
from tests.factories import unique

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from app.realtime.fanout.resync import Resync


class Server:
    """The part of Socket.IO's server that a resync uses; background tasks run at once."""

    def __init__(self) -> None:
        self.closed: list[tuple[str, str]] = []
        self.pauses: list[float] = []
        self.members: dict[str, list[str]] = {}
        self.eio = SimpleNamespace(sockets={})
        self.server = self
        self.resynced: list[str] = []
        self.streams = SimpleNamespace(resync=self.resynced.extend)

    def join(self, protocol_id: str, *engine_sids: str) -> None:
        self.members[f"protocol:{protocol_id}"] = list(engine_sids)
        for sid in engine_sids:
            self.eio.sockets[sid] = SimpleNamespace(close=lambda sid=sid, **options: self._close(sid, **options))

    def _close(self, sid: str, *, wait: bool, abort: bool, reason: str) -> None:
        assert (wait, abort) == (False, True)
        self.closed.append((sid, reason))

    def get_participants(self, _namespace: str, room: str) -> list[tuple[str, str]]:
        return [(f"s-{each}", each) for each in self.members.get(room, [])]

    def start_background_task(self, task: Callable[..., None], *arguments: Any) -> None:
        task(*arguments)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    @property
    def closed_sids(self) -> list[str]:
        return sorted(sid for sid, _ in self.closed)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(redis_url: str) -> "redis.Redis[bytes]":
    return redis.Redis.from_url(redis_url, protocol=2)


@pytest.fixture
def scripts(redis_url: str) -> RoomScripts:
    made = scripts_at(redis_url)
    made.nodes.ping()  # the first connection notes the server in all partitions
    return made


@pytest.fixture
def room(client) -> Callable[[int], str]:
    """`room(7)`: a protocol whose room has had seven events."""

    def make(seq: int) -> str:
        protocol_id = unique("P")
        client.hset(room_key(protocol_id, "state"), "seq", seq)
        return protocol_id

    return make


def check(resync: Resync, *protocol_ids: str) -> None:
    resync.check_missed({CONTROL_CHANNEL, *map(channel_of, protocol_ids)}, True)


def test_only_members_of_a_room_with_missed_events_are_disconnected_and_only_once(server, scripts, room):
    still, moved = room(7), room(8)
    server.join(still, "a", "b")
    server.join(moved, "c", "d", "e")
    resync = Resync(server, scripts)
    for protocol_id in (still, moved):
        resync.note_joined(channel_of(protocol_id), 7)

    check(resync, still, moved)

    assert server.closed_sids == ["c", "d", "e"]
    assert server.resynced == [moved], "streams get the state instead"
    assert {reason for _, reason in server.closed} == {"transport error"}
    assert sum(server.pauses) <= 0.25 + 2.0 + 1e-6
    assert server.pauses[0] > 0, "events published before the query are delivered first"


def test_events_delivered_since_the_join_are_not_missed(server, scripts, room):
    protocol_id = room(9)
    server.join(protocol_id, "a")
    resync = Resync(server, scripts)
    resync.note_joined(channel_of(protocol_id), 7)
    resync.note_delivered(channel_of(protocol_id), 9)
    resync.note_delivered(channel_of(protocol_id), None)
    check(resync, protocol_id)
    assert server.closed == []


def test_the_seq_of_a_later_member_does_not_hide_what_earlier_ones_missed(server, scripts, room):
    protocol_id = room(9)
    server.join(protocol_id, "a", "b")
    resync = Resync(server, scripts)
    resync.note_joined(channel_of(protocol_id), 7)
    resync.note_joined(channel_of(protocol_id), 9)
    check(resync, protocol_id)
    assert server.closed_sids == ["a", "b"]


def test_a_room_without_a_known_seq_is_resynced(server, scripts, room):
    protocol_id = room(0)
    server.join(protocol_id, "a")
    resync = Resync(server, scripts)
    resync.note_delivered(channel_of(protocol_id), 5)  # ignored: the room has no member
    check(resync, protocol_id)
    assert server.closed_sids == ["a"]


def test_a_room_joined_again_starts_from_its_new_seq(server, scripts, room):
    protocol_id = room(9)
    server.join(protocol_id, "a")
    resync = Resync(server, scripts)
    resync.note_joined(channel_of(protocol_id), 7)
    resync.forget(channel_of(protocol_id))
    resync.note_joined(channel_of(protocol_id), 9)
    resync.forget(channel_of("unknown"))
    check(resync, protocol_id)
    assert server.closed == []


def test_a_room_whose_seq_is_lost_in_redis_is_resynced(server, scripts, client, room):
    protocol_id = room(9)
    server.join(protocol_id, "a")
    resync = Resync(server, scripts)
    resync.note_joined(channel_of(protocol_id), 9)
    client.delete(room_key(protocol_id, "state"))
    check(resync, protocol_id)
    assert server.closed_sids == ["a"]


def test_all_rooms_are_resynced_when_redis_fails_during_the_check(server, room, caplog):
    one, other = room(7), room(7)
    server.join(one, "a")
    server.join(other, "b", "c")
    resync = Resync(server, scripts_at("redis://127.0.0.1:1/0"))
    for protocol_id in (one, other):
        resync.note_joined(channel_of(protocol_id), 7)
    check(resync, one, other)
    assert server.closed_sids == ["a", "b", "c"]
    assert [each.rooms for each in caplog.records if each.message == "resync.check_failed"] == [2]


def test_a_member_that_left_during_the_check_is_skipped(server, scripts, room):
    protocol_id = room(8)
    server.join(protocol_id, "a", "b")
    del server.eio.sockets["a"]
    resync = Resync(server, scripts)
    resync.note_joined(channel_of(protocol_id), 7)
    check(resync, protocol_id)
    assert server.closed_sids == ["b"]


def test_a_check_without_rooms_disconnects_no_one(server, scripts):
    check(Resync(server, scripts))
    assert server.closed == []


def other_partition(protocol_id: str, room: Callable[[int], str]) -> str:
    return next(each for _ in range(100) if partition_of(each := room(1)) != partition_of(protocol_id))


def test_the_rooms_of_a_partition_whose_memory_changed_are_resynced_once(server, scripts, client, room):
    lost = room(1)
    kept = other_partition(lost, room)
    resync = Resync(server, scripts)
    for protocol_id in (lost, kept):
        server.join(protocol_id, protocol_id)
        resync.note_joined(channel_of(protocol_id), 1)
        client.set(partition_key(partition_of(protocol_id), "clock"), "5 0 1 server-1")
    resync.check_memory()
    client.set(partition_key(partition_of(kept), "clock"), "9 1 1 server-1")  # its time goes on
    client.set(partition_key(partition_of(lost), "clock"), "9 1 8 server-2")
    resync.check_memory()
    resync.check_memory()
    assert server.closed_sids == [lost]


def test_a_memory_that_is_gone_is_noticed_before_anything_is_written_again(server, scripts, client, room):
    protocol_id = room(1)
    clock = partition_key(partition_of(protocol_id), "clock")
    server.join(protocol_id, "a")
    resync = Resync(server, scripts)
    resync.note_joined(channel_of(protocol_id), 1)
    client.set(clock, "5 0 1 server-1")
    resync.check_memory()
    client.flushdb()
    resync.check_memory()
    client.set(clock, "9 0 8 server-1")
    resync.check_memory()
    assert server.closed_sids == ["a"]


def test_a_reconnection_to_another_server_is_no_second_reason(server, scripts, client, room):
    protocol_id = room(1)
    clock = partition_key(partition_of(protocol_id), "clock")
    server.join(protocol_id, "a")
    resync = Resync(server, scripts)
    resync.note_joined(channel_of(protocol_id), 1)
    client.set(clock, "5 0 1 server-1")
    resync.check_memory()
    client.set(clock, "5 0 4 server-2")
    resync.check_missed({channel_of(protocol_id)}, False)
    resync.check_memory()
    assert server.closed_sids == ["a"]
