"""The partitions are spread evenly over the slots of a Redis Cluster, and each script stays in one."""

import re
from collections import Counter
from importlib.resources import files

import pytest

from app.core.extensions import redis_client
from app.realtime import limiter, redis_keys, scripts
from app.realtime.redis_keys import PARTITION_SLOTS, PARTITIONS, SLOTS, TAGS
from tests.factories import make_protocol, unique

LUA = {each.name: each.read_text("utf-8") for each in (files("app.realtime") / "lua").iterdir()}


def test_each_partition_has_a_slot_of_its_own_256th_of_the_slots() -> None:
    assert [slot * PARTITIONS // SLOTS for slot in PARTITION_SLOTS] == list(range(PARTITIONS))
    for nodes in (2, 3, 4, 5, 8):  # equal ranges of slots
        owned = Counter(slot * nodes // SLOTS for slot in PARTITION_SLOTS)
        assert max(owned.values()) - min(owned.values()) <= 1


def test_the_slots_are_those_of_redis(valkey) -> None:
    with valkey.client() as client:
        if not client.info("cluster")["cluster_enabled"]:
            assert redis_keys.slot_of("123456789") == 0x31C3  # the check value of its CRC16, in its specification
            return
        assert [client.cluster("keyslot", f"{{{tag}}}") for tag in TAGS] == list(PARTITION_SLOTS)


def test_all_keys_and_the_channels_of_a_room_have_its_partitions_slot() -> None:
    room = unique("P")
    views = (redis_keys.channel_of(room), redis_keys.channel_of(redis_keys.batched_view(room)))
    tags = {re.search(r"\{(.+?)\}", key)[1] for key in (*redis_keys.room_keys(room), *views)}

    assert tags == {TAGS[redis_keys.partition_of(room)]}
    assert [redis_keys.view_of(each) for each in views] == [room, "~" + room]
    assert set(map(redis_keys.slot_of_key, redis_keys.room_keys(room))) == {
        PARTITION_SLOTS[redis_keys.partition_of(room)]
    }


def test_rooms_are_spread_evenly_over_the_partitions() -> None:
    rooms = Counter(redis_keys.partition_of(f"protocol-{number}") for number in range(64_000))

    assert len(rooms) == PARTITIONS
    assert 800 < min(rooms.values()) <= max(rooms.values()) < 1200


@pytest.mark.parametrize("name", sorted(LUA))
def test_a_script_is_short_opens_with_what_it_does_and_names_its_keys(name: str) -> None:
    text = LUA[name]
    is_shared = text.startswith("-- Shared: ")
    assert text.count("\n") <= 60
    assert max(map(len, text.splitlines())) <= 120
    assert is_shared or "-- KEYS:" in text
    assert is_shared or name in {"mark_server.lua", "confirm.lua"} or "-- Reply:" in text


@pytest.mark.parametrize("name", sorted(LUA))
def test_no_script_makes_up_the_name_of_a_key(name: str) -> None:
    """In a cluster a key that is not declared may be on another server."""
    for call in re.findall(r"redis\.call\('(\w+)', ([^,)]+)", LUA[name]):
        command, first = call
        if command not in ("TIME", "PUBSUB", "SPUBLISH"):
            assert re.fullmatch(r"[A-Z_]+_KEY|key|KEYS\[1\]", first), call


def test_every_key_of_a_room_is_in_the_table() -> None:
    named = set(re.findall(r"`d3:\{t\}:(?:room:\{p\}:)?(\w+)`", redis_keys.__doc__))
    assert {*redis_keys.ROOM_PARTS, *redis_keys.MORE_ROOM_PARTS, *redis_keys.PARTITION_PARTS, "dropped"} <= named


def test_a_new_connection_loads_the_scripts_and_notes_the_server(in_context) -> None:
    client = redis_client()
    client.script_flush()
    for key in redis_keys.all_keys("clock"):
        client.delete(key)

    scripts.prepare(lambda *command: _raw(client, *command), list(PARTITION_SLOTS))

    assert client.script_exists(*map(scripts._sha, ("report", "drain", "leave"))) == [True] * 3
    clocks = [each.split() for each in client.mget(redis_keys.all_keys("clock"))]
    assert {each[3].decode() for each in clocks} == {client.info("server")["run_id"]}
    assert len(clocks) == PARTITIONS


def _raw(client, *command):
    connection = client.connection_pool.get_connection()
    try:
        connection.send_command(*command)
        return connection.read_response()
    finally:
        client.connection_pool.release(connection)


def test_another_server_lets_the_memory_begin_anew_and_the_same_one_does_not(in_context) -> None:
    client, clock = redis_client(), redis_keys.partition_key(5, "clock")
    slots = [PARTITION_SLOTS[5]]
    scripts.prepare(lambda *command: _raw(client, *command), slots)
    first = client.get(clock).split()
    client.set(clock, b" ".join((*first[:2], b"1", first[3])))
    scripts.prepare(lambda *command: _raw(client, *command), slots)
    assert client.get(clock).split()[2] == b"1"

    client.set(clock, b" ".join((*first[:2], b"1", b"another")))
    scripts.prepare(lambda *command: _raw(client, *command), slots)

    born, server = client.get(clock).split()[2:]
    assert int(born) >= int(first[0])
    assert server == first[3]


def test_a_quiet_room_emits_at_once_also_in_a_process_that_has_just_begun(api, app_with, emissions, sleeping) -> None:
    """Nobody has used the partition since its memory began, two seconds ago."""
    app = api.transport.client.application
    room = make_protocol(api)
    with app.app_context():
        seconds, micros = redis_client().time()
        born = seconds * 1_000_000 + micros
        clock = redis_keys.partition_key(redis_keys.partition_of(room), "clock")
        redis_client().set(clock, f"{born} 0 {born} {redis_client().info('server')['run_id']}")
    other = app_with()
    with other.transport.client.application.app_context():
        scripts.room_scripts().connect()
        sleeping(2)
        assert limiter.emit(room, "bounty_pool:updated", "{}").emitted == {"bounty_pool:updated": 1}


def test_a_process_that_connects_leaves_the_clocks_of_idle_partitions_as_they_are(in_context, redis_url) -> None:
    client, clock = redis_client(), redis_keys.partition_key(0, "clock")
    last, offset, born, server = client.get(clock).split()
    idle = b" ".join([b"%d" % (int(last) - 30_000_000), offset, born, server])
    client.set(clock, idle)

    scripts.scripts_at(redis_url).connect()

    assert client.get(clock) == idle
