"""Which connections are ended after Redis was out of reach: of rooms that moved on, or of all when nobody knows."""

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
    """As much of Socket.IO's server as a resync needs; background work is done at once."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []
        self.slept: list[float] = []
        self.members: dict[str, list[str]] = {}
        self.eio = SimpleNamespace(sockets={})
        self.server = self

    def join(self, protocol_id: str, *engine_sids: str) -> None:
        self.members[f"protocol:{protocol_id}"] = list(engine_sids)
        for sid in engine_sids:
            self.eio.sockets[sid] = SimpleNamespace(close=lambda sid=sid, **options: self._close(sid, **options))

    def _close(self, sid: str, *, wait: bool, abort: bool, reason: str) -> None:
        assert (wait, abort) == (False, True)
        self.ended.append((sid, reason))

    def get_participants(self, _namespace: str, room: str) -> list[tuple[str, str]]:
        return [(f"s-{each}", each) for each in self.members.get(room, [])]

    def start_background_task(self, task: Callable[..., None], *arguments: Any) -> None:
        task(*arguments)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    @property
    def ended_sids(self) -> list[str]:
        return sorted(sid for sid, _ in self.ended)


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
    resync.start({CONTROL_CHANNEL, *map(channel_of, protocol_ids)})


def test_members_of_a_room_that_moved_on_are_ended_once_and_no_others(server, client, room):
    still, moved = room(7), room(8)
    server.join(still, "a", "b")
    server.join(moved, "c", "d", "e")
    resync = Resync(server, client)
    for protocol_id in (still, moved):
        resync.joined(channel_of(protocol_id), 7)

    check(resync, still, moved)

    assert server.ended_sids == ["c", "d", "e"]
    assert {reason for _, reason in server.ended} == {"transport error"}
    assert sum(server.slept) <= 0.25 + 2.0 + 1e-6
    assert server.slept[0] > 0, "what was sent before the question is delivered first"


def test_what_a_room_was_told_since_counts(server, client, room):
    protocol_id = room(9)
    server.join(protocol_id, "a")
    resync = Resync(server, client)
    resync.joined(channel_of(protocol_id), 7)
    resync.heard(channel_of(protocol_id), 9)
    resync.heard(channel_of(protocol_id), None)
    check(resync, protocol_id)
    assert server.ended == []


def test_a_later_joiner_does_not_make_up_for_what_the_room_has_not_heard(server, client, room):
    protocol_id = room(9)
    server.join(protocol_id, "a", "b")
    resync = Resync(server, client)
    resync.joined(channel_of(protocol_id), 7)
    resync.joined(channel_of(protocol_id), 9)
    check(resync, protocol_id)
    assert server.ended_sids == ["a", "b"]


def test_a_room_of_which_nothing_was_heard_is_resynced(server, client, room):
    protocol_id = room(0)
    server.join(protocol_id, "a")
    resync = Resync(server, client)
    resync.heard(channel_of(protocol_id), 5)  # nobody joined it: not noted
    check(resync, protocol_id)
    assert server.ended_sids == ["a"]


def test_a_room_that_was_left_and_joined_anew_counts_from_its_new_number(server, client, room):
    protocol_id = room(9)
    server.join(protocol_id, "a")
    resync = Resync(server, client)
    resync.joined(channel_of(protocol_id), 7)
    resync.left(channel_of(protocol_id))
    resync.joined(channel_of(protocol_id), 9)
    resync.left(channel_of("unknown"))
    check(resync, protocol_id)
    assert server.ended == []


def test_a_room_whose_number_redis_has_forgotten_is_resynced(server, client, room):
    protocol_id = room(9)
    server.join(protocol_id, "a")
    resync = Resync(server, client)
    resync.joined(channel_of(protocol_id), 9)
    client.delete(f"room:{protocol_id}:seq")
    check(resync, protocol_id)
    assert server.ended_sids == ["a"]


def test_when_redis_fails_again_everybody_is_resynced(server, room, caplog):
    one, other = room(7), room(7)
    server.join(one, "a")
    server.join(other, "b", "c")
    resync = Resync(server, redis.Redis.from_url("redis://127.0.0.1:1/0", protocol=2))
    for protocol_id in (one, other):
        resync.joined(channel_of(protocol_id), 7)
    check(resync, one, other)
    assert server.ended_sids == ["a", "b", "c"]
    assert [each.rooms for each in caplog.records if each.message == "resync.unknown"] == [2]


def test_a_member_that_left_meanwhile_harms_nobody(server, client, room):
    protocol_id = room(8)
    server.join(protocol_id, "a", "b")
    del server.eio.sockets["a"]
    resync = Resync(server, client)
    resync.joined(channel_of(protocol_id), 7)
    check(resync, protocol_id)
    assert server.ended_sids == ["b"]


def test_without_rooms_nothing_happens(server, client):
    check(Resync(server, client))
    assert server.ended == []
