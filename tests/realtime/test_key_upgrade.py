"""The Redis keys of earlier layouts are taken over at the first connection, and nothing that waits in them is lost."""

import json
import time

import pytest
import redis

from app.core.extensions import redis_client
from app.realtime import emitter, key_upgrade, limiter
from app.realtime.events import EventType
from app.realtime.redis_keys import batched_view, room_key
from tests.factories import unique
from tests.support.api import Api

pytestmark = pytest.mark.database("sqlite")

POOL = EventType.BOUNTY_POOL_UPDATED
LAYOUTS = {  # the names of the keys that changed between release 0.1 and the development of 0.2
    "1": {"batch_seq": "room:~{p}:seq", "waiting": "running", "terminal": "finals", "task": "agents:on"},
    "2": {"batch_seq": "room:{p}:batch_seq", "waiting": "waiting", "terminal": "terminal", "task": "agents:task"},
}


class OneConnection:
    """`call` as a new connection has it."""

    def __init__(self, client: redis.Redis) -> None:
        self._connection = client.connection_pool.get_connection()

    def call(self, *command):
        self._connection.send_command(*command)
        return self._connection.read_response()


def update(agent: str, status: str, version: int) -> str:
    data = {"agentId": agent, "task": "scan", "progress": "5", "status": status, "estimatedCompletion": None}
    return json.dumps(data | {"error": None, "nextTask": None, "version": str(version)}, separators=(",", ":"))


def queued(seq: int, batch_seq: int) -> str:
    """A queued event with its placeholders: `\\1` for the number, `\\2` for the view."""
    payload = {"eventType": POOL, "timestamp": "2026-11-22T20:30:00.123Z", "seq": "\1", "data": {"version": str(seq)}}
    message = {"method": "emit", "event": POOL, "data": [payload], "namespace": "/", "room": "protocol:\2P"}
    text = json.dumps(message, separators=(",", ":")).replace("\\u0001", "\1").replace("\\u0002", "\2")
    return f"{seq} {batch_seq} - {POOL} {text}"


def write_old_layout(client: redis.Redis, protocol_id: str, layout: str) -> None:
    """A room with two queued events, two waiting terminal updates of agent A1 and a RUNNING update of A2."""
    now, room, names = int(time.time() * 1e6), f"room:{protocol_id}", LAYOUTS[layout]
    terminal = [f"{protocol_id} {update('A1', 'COMPLETED', now + number)}" for number in (1, 2)]
    with client.pipeline() as pipe:
        pipe.flushdb()
        pipe.mset({f"{room}:seq": 7, names["batch_seq"].format(p=protocol_id): 41, f"{room}:outbox": 3})
        pipe.lpush(f"{room}:relayed", "first", "second")
        pipe.rpush(f"{room}:queue", queued(6, 40), queued(7, 41))
        pipe.rpush(f"agent:A1:{names['terminal']}", *terminal)
        pipe.zadd(f"{room}:{names['terminal']}", {"A1": now})
        pipe.zadd(f"{room}:{names['waiting']}", {"A2": now})
        pipe.hset(f"{room}:latest", "A2", update("A2", "RUNNING", now))
        pipe.hset("agents:version", mapping={"A1": now + 2, "A2": now})
        pipe.hset(names["task"], mapping={"A1": f"{protocol_id} ", "A2": f"{protocol_id} scan"})
        pipe.zadd("rooms:due", {protocol_id: now})
        pipe.hset("rooms:dropped", protocol_id, 5)
        pipe.set("clock:steady", f"{now} 0")
        if layout == "1":
            pipe.hset("redbeat:flush", "a", "b")
        else:
            pipe.set("redis:layout", layout)
        pipe.execute()


@pytest.fixture(params=sorted(LAYOUTS))
def upgraded(request, in_context) -> str:
    """The protocol whose room is in a database of an earlier layout; nothing has connected since."""
    protocol_id = unique("P")
    write_old_layout(redis_client(), protocol_id, request.param)
    return protocol_id


def test_numbers_positions_and_identities_are_kept(upgraded) -> None:
    assert limiter.current_seq(upgraded) == "7"
    assert limiter.current_seq(batched_view(upgraded)) == "41"
    assert redis_client().hmget(room_key(upgraded, "state"), "outbox", "dropped") == [b"3", b"5"]
    assert redis_client().lrange(room_key(upgraded, "relayed"), 0, -1) == [b"second", b"first"]
    assert limiter.emit(upgraded, POOL, "{}", limiter.StoredEvent(3, "first")).emitted == {}


def test_queue_terminal_updates_and_the_newest_report_leave_in_order(upgraded, emissions) -> None:
    def are_all_emitted() -> bool:
        emitter.drain()
        return len(emissions.of(upgraded)) == 5

    emissions.wait_until(are_all_emitted, 15)

    events = emissions.of(upgraded)
    assert [each.seq for each in events] == [6, 7, 8, 9, 10]
    assert [(each.members["eventType"], each.members["version"]) for each in events[:2]] == [(POOL, "6"), (POOL, "7")]
    assert events[0].members["timestamp"] == "2026-11-22T20:30:00.123Z"
    assert sorted((each.members["agentId"], each.members["status"]) for each in events[2:]) == [
        ("A1", "COMPLETED"),
        ("A1", "COMPLETED"),
        ("A2", "RUNNING"),
    ]


def test_an_agent_is_known_where_it_works_and_leaves_there(upgraded, emissions) -> None:
    other, data = unique("P"), '{"agentId":"A2","status":"RUNNING"'
    limiter.report([limiter.RunningReport("A2", other, "next", data)])

    def is_idle() -> bool:
        emitter.drain()
        return any(each.members.get("status") == "IDLE" for each in emissions.of(upgraded))

    emissions.wait_until(is_idle, 15)


def test_every_old_key_goes_and_the_next_connection_changes_nothing(upgraded) -> None:
    limiter.current_seq(upgraded)
    client = redis_client()
    after = {key: client.dump(key) for key in client.scan_iter()}

    key_upgrade.upgrade(OneConnection(client).call)

    assert {key.decode() for key in after if not key.startswith(b"d3:")} == {"redis:layout"}
    assert client.get("redis:layout") == key_upgrade.LAYOUT
    assert {key: client.dump(key) for key in client.scan_iter()} == after


def test_an_upgrade_that_was_interrupted_after_a_room_is_completed(upgraded) -> None:
    client = redis_client()
    key_upgrade._move_room(OneConnection(client).call, upgraded)
    assert limiter.current_seq(upgraded) == "7"

    waiting = json.loads(client.hget(room_key(upgraded, "terminal_updates"), "A1").split(b"\n")[1])

    assert waiting["agentId"] == "A1"
    assert client.llen(room_key(upgraded, "queue")) == 2
    assert limiter.parse_agent(client.hget(room_key(upgraded, "agents"), "A1")).pending == 2


def test_a_room_that_another_process_has_moved_meanwhile_is_left_alone(upgraded, valkey, settings) -> None:
    client = redis_client()

    def moved_meanwhile(*command):
        if command[0] == "MULTI":
            with valkey.client(int(settings.redis_url.rpartition("/")[2])) as other:
                other.delete(f"room:{upgraded}:seq")
        return connection.call(*command)

    connection = OneConnection(client)
    key_upgrade._move_room(moved_meanwhile, upgraded)

    assert not client.exists(room_key(upgraded, "state"))


def test_a_redis_without_keys_of_an_older_release_says_nothing_of_an_upgrade(in_context, caplog) -> None:
    client = redis_client()
    client.delete("redis:layout")

    with caplog.at_level("INFO"):
        key_upgrade.upgrade(OneConnection(client).call)

    assert client.get("redis:layout") == key_upgrade.LAYOUT
    assert "redis.keys_upgraded" not in caplog.messages


def test_the_state_after_an_upgrade_shows_the_newest_updates(upgraded, api: Api) -> None:
    api.admin.post("/protocols", {"id": upgraded, "name": "Old"}).expect(201)
    agents = api.viewer.get(f"/protocols/{upgraded}/state").expect(200)["agents"]
    assert [(each["agentId"], each["status"], each["presence"]) for each in agents] == [("A2", "RUNNING", "ONLINE")]
