"""The Redis keys of release 0.1 are renamed at the first connection, and nothing that waits in them is lost."""

import json
import time

import pytest
import redis

from app.core.extensions import redis_client
from app.realtime import emitter, limiter, scripts
from app.realtime.events import EventType
from app.realtime.redis_keys import LAYOUT_KEY, batched_view, room_key
from tests.factories import unique

pytestmark = pytest.mark.database("sqlite")

POOL = EventType.BOUNTY_POOL_UPDATED
OBSOLETE = ("worker:heartbeat", "redbeat::schedule", "redbeat:flush", "redbeat:celery.backend_cleanup")
OLD_PARTS = ("sent", "pace", "running", "finals", "changed")


def update(agent: str, protocol_id: str, status: str, version: int) -> str:
    data = {"agentId": agent, "protocolId": protocol_id, "task": "scan", "status": status, "version": str(version)}
    return json.dumps(data, separators=(",", ":"))


def queued(protocol_id: str, seq: int, batch_seq: int) -> str:
    """A queued event as 0.1 stored it: `\\1` stands for the number, `\\2` for the view."""
    values = {"@room@": "\2" + protocol_id, "@protocol@": protocol_id, "@seq@": "\1", "@timestamp@": "", "@data@": "{}"}
    message = limiter.message_template(POOL)
    for name, value in values.items():
        message = message.replace(name, value)
    return f"{seq} {batch_seq} - {POOL} {message}"


def write_layout_of_0_1(client: redis.Redis, protocol_id: str) -> None:
    """A room with two queued events, two waiting terminal updates of agent A1 and a RUNNING update of A2."""
    now, room = int(time.time() * 1e6), f"room:{protocol_id}"
    terminal = [f"{protocol_id} {update('A1', protocol_id, 'COMPLETED', now + number)}" for number in (1, 2)]
    with client.pipeline() as pipe:
        pipe.mset({f"{room}:seq": 7, f"room:~{protocol_id}:seq": 41, f"{room}:outbox": 3, "worker:heartbeat": "1"})
        pipe.set(f"{room}:pace", now, px=5000)
        pipe.lpush(f"{room}:sent", now - 10_000_000)
        pipe.pexpire(f"{room}:sent", 5000)
        pipe.rpush(f"{room}:queue", queued(protocol_id, 6, 40), queued(protocol_id, 7, 41))
        pipe.rpush("agent:A1:finals", *terminal)
        pipe.zadd(f"{room}:finals", {"A1": now})
        pipe.zadd(f"{room}:running", {"A2": now})
        pipe.zadd(f"{room}:changed", {"A2": now})
        pipe.hset(f"{room}:latest", "A2", update("A2", protocol_id, "RUNNING", now))
        pipe.hset("agents:version", mapping={"A1": now + 2, "A2": now})
        pipe.hset("agents:on", mapping={"A1": f"{protocol_id} ", "A2": f"{protocol_id} scan"})
        pipe.hset("agents:turned", mapping={"A1": now + 2, "A2": now})
        pipe.hset("agents:due", mapping={"A1": now, "A2": now})
        pipe.hset("agents:closing", "A1", 2)
        pipe.zadd("agents:heard", {"A1": now, "A2": now})
        pipe.zadd("rooms:due", {protocol_id: now})
        for key in OBSOLETE[1:]:
            pipe.hset(key, "a", "b")
        pipe.execute()


@pytest.fixture
def upgraded(in_context) -> str:
    """The protocol whose room is in a database of 0.1; nothing has connected since."""
    protocol_id = unique("P")
    write_layout_of_0_1(redis_client(), protocol_id)
    return protocol_id


def old_keys(client: redis.Redis) -> list[str]:
    names = [key.decode() for key in client.scan_iter()]
    globals_ = {"agents:on", "agents:turned", "agents:due", "agents:closing", "agents:heard", *OBSOLETE}
    return [
        name for name in names if name in globals_ or name.startswith("room:~") or name.rpartition(":")[2] in OLD_PARTS
    ]


def test_no_sequence_number_goes_back(upgraded) -> None:
    assert limiter.current_seq(upgraded) == "7"
    assert limiter.current_seq(batched_view(upgraded)) == "41"


def test_queue_terminal_updates_and_the_newest_report_leave_in_order(upgraded, emissions) -> None:
    def are_all_emitted() -> bool:
        emitter.drain()
        return len(emissions.of(upgraded)) == 5

    emissions.wait_until(are_all_emitted, 15)

    events = emissions.of(upgraded)
    assert [each.seq for each in events] == [6, 7, 8, 9, 10]
    assert [each.members["eventType"] for each in events[:2]] == [POOL, POOL]
    assert sorted((each.members["agentId"], each.members["status"]) for each in events[2:]) == [
        ("A1", "COMPLETED"),
        ("A1", "COMPLETED"),
        ("A2", "RUNNING"),
    ]


def test_every_old_key_is_renamed_and_the_next_connection_changes_nothing(upgraded) -> None:
    limiter.current_seq(upgraded)
    client = redis_client()
    after = {key: client.dump(key) for key in client.scan_iter()}

    scripts.rename_old_keys(client.execute_command)

    assert old_keys(client) == []
    assert client.get(LAYOUT_KEY) == scripts.LAYOUT
    assert {key: client.dump(key) for key in client.scan_iter()} == after


def test_the_room_limit_does_not_expire_with_the_key_of_0_1(upgraded) -> None:
    limiter.current_seq(upgraded)

    assert redis_client().ttl(room_key(upgraded, "window")) == -1


def test_an_upgrade_that_was_interrupted_is_completed(upgraded) -> None:
    client = redis_client()
    client.rename("agent:A1:finals", "agent:A1:terminal")
    client.rename("agents:closing", "agents:pending_terminal")

    limiter.current_seq(upgraded)

    assert old_keys(client) == []
    assert client.llen("agent:A1:terminal") == 2
    assert client.hget("agents:pending_terminal", "A1") == b"2"


def test_a_database_with_more_keys_than_one_step_takes_is_upgraded_whole(upgraded, caplog) -> None:
    client = redis_client()
    with client.pipeline() as pipe:
        for number in range(3 * scripts.KEYS_PER_STEP):
            pipe.zadd(f"room:{number}:running", {"A1": number})
        pipe.execute()

    limiter.current_seq(upgraded)

    assert old_keys(client) == []
    assert client.get(room_key(upgraded, "seq")) == b"7"


def test_a_redis_without_keys_of_an_older_release_says_nothing_of_an_upgrade(in_context, caplog) -> None:
    client = redis_client()
    client.delete(LAYOUT_KEY)

    with caplog.at_level("INFO"):
        scripts.rename_old_keys(client.execute_command)

    assert client.get(LAYOUT_KEY) == scripts.LAYOUT
    assert "redis.keys_renamed" not in caplog.messages
