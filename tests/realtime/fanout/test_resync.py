"""Which connections are closed after the connection to Redis was lost: those whose room may have missed events."""

import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from app.realtime.redis_keys import CONTROL_CHANNEL, channel_of
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
def room(client) -> Callable[[int], str]:
    """`room(7)`: a protocol whose room has had seven events."""

    def make(seq: int) -> str:
        protocol_id = unique("P")
        client.set(f"room:{protocol_id}:seq", seq)
        return protocol_id

    return make


def check(resync: Resync, *protocol_ids: str) -> None:
    resync.check_missed({CONTROL_CHANNEL, *map(channel_of, protocol_ids)}, True)


def test_only_members_of_a_room_with_missed_events_are_disconnected_and_only_once(server, client, room):
    still, moved = room(7), room(8)
    server.join(still, "a", "b")
    server.join(moved, "c", "d", "e")
    resync = Resync(server, client)
    for protocol_id in (still, moved):
        resync.note_joined(channel_of(protocol_id), 7)

    check(resync, still, moved)

    assert server.closed_sids == ["c", "d", "e"]
    assert server.resynced == [moved], "streams get the state instead"
    assert {reason for _, reason in server.closed} == {"transport error"}
    assert sum(server.pauses) <= 0.25 + 2.0 + 1e-6
    assert server.pauses[0] > 0, "events published before the query are delivered first"


def test_events_delivered_since_the_join_are_not_missed(server, client, room):
    protocol_id = room(9)
    server.join(protocol_id, "a")
    resync = Resync(server, client)
    resync.note_joined(channel_of(protocol_id), 7)
    resync.note_delivered(channel_of(protocol_id), 9)
    resync.note_delivered(channel_of(protocol_id), None)
    check(resync, protocol_id)
    assert server.closed == []


def test_the_seq_of_a_later_member_does_not_hide_what_earlier_ones_missed(server, client, room):
    protocol_id = room(9)
    server.join(protocol_id, "a", "b")
    resync = Resync(server, client)
    resync.note_joined(channel_of(protocol_id), 7)
    resync.note_joined(channel_of(protocol_id), 9)
    check(resync, protocol_id)
    assert server.closed_sids == ["a", "b"]


def test_a_room_without_a_known_seq_is_resynced(server, client, room):
    protocol_id = room(0)
    server.join(protocol_id, "a")
    resync = Resync(server, client)
    resync.note_delivered(channel_of(protocol_id), 5)  # ignored: the room has no member
    check(resync, protocol_id)
    assert server.closed_sids == ["a"]


def test_a_room_joined_again_starts_from_its_new_seq(server, client, room):
    protocol_id = room(9)
    server.join(protocol_id, "a")
    resync = Resync(server, client)
    resync.note_joined(channel_of(protocol_id), 7)
    resync.forget(channel_of(protocol_id))
    resync.note_joined(channel_of(protocol_id), 9)
    resync.forget(channel_of("unknown"))
    check(resync, protocol_id)
    assert server.closed == []


def test_a_room_whose_seq_is_lost_in_redis_is_resynced(server, client, room):
    protocol_id = room(9)
    server.join(protocol_id, "a")
    resync = Resync(server, client)
    resync.note_joined(channel_of(protocol_id), 9)
    client.delete(f"room:{protocol_id}:seq")
    check(resync, protocol_id)
    assert server.closed_sids == ["a"]


def test_all_rooms_are_resynced_when_redis_fails_during_the_check(server, room, caplog):
    one, other = room(7), room(7)
    server.join(one, "a")
    server.join(other, "b", "c")
    resync = Resync(server, redis.Redis.from_url("redis://127.0.0.1:1/0", protocol=2))
    for protocol_id in (one, other):
        resync.note_joined(channel_of(protocol_id), 7)
    check(resync, one, other)
    assert server.closed_sids == ["a", "b", "c"]
    assert [each.rooms for each in caplog.records if each.message == "resync.check_failed"] == [2]


def test_a_member_that_left_during_the_check_is_skipped(server, client, room):
    protocol_id = room(8)
    server.join(protocol_id, "a", "b")
    del server.eio.sockets["a"]
    resync = Resync(server, client)
    resync.note_joined(channel_of(protocol_id), 7)
    check(resync, protocol_id)
    assert server.closed_sids == ["b"]


def test_a_check_without_rooms_disconnects_no_one(server, client):
    check(Resync(server, client))
    assert server.closed == []
