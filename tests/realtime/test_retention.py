"""What comes and goes leaves Redis: 50,000 agents and 3,000 protocols, and it is back near its start."""

import time
from collections.abc import Iterator

import pytest
from flask import Flask

from app.core.extensions import redis_client
from app.realtime import emitter, limiter, retention
from app.realtime.events import EventType
from app.realtime.redis_keys import agent_keys, batched_view, partition_key, partition_of, room_key
from app.realtime.scripts import room_scripts
from tests.factories import unique
from tests.support.redis_clock import movable_clock

pytestmark = pytest.mark.database("sqlite")

AGENTS, ROOMS, PER_CALL = 50_000, 3_000, 1_000
DAY = 86_400
POOL = EventType.BOUNTY_POOL_UPDATED
DATA = '{"agentId":"%s","task":"Scan Vault.sol","progress":"5","status":"RUNNING"'


@pytest.fixture
def set_clock(in_context: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    with movable_clock(monkeypatch) as move:
        yield move


def report(agent_ids: list[str], room_of, task: str = "scan") -> None:
    limiter.report([limiter.RunningReport(each, room_of(each), task, DATA % each) for each in agent_ids])


def keys_of(room: str) -> list[str]:
    return sorted(key.decode() for key in redis_client().scan_iter(match=f"*room:{room}:*", count=10_000))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_agents_and_protocols_that_come_and_go_leave_redis_near_its_start(in_context, set_clock) -> None:
    client = redis_client()
    room_scripts().nodes.call(0, "PING")  # connects
    keys, memory = client.dbsize(), client.info("memory")["used_memory_dataset"]
    agents = [f"A{number}" for number in range(AGENTS)]
    for first in range(0, AGENTS, PER_CALL):
        report(agents[first : first + PER_CALL], lambda each: f"P{int(each[1:]) % ROOMS}")
    moved = agents[: AGENTS // 10]
    for first in range(0, len(moved), PER_CALL):
        report(moved[first : first + PER_CALL], lambda each: f"P{(int(each[1:]) * 7 + 1) % ROOMS}")
    full = client.info("memory")["used_memory_dataset"]
    assert client.dbsize() > AGENTS

    set_clock(8 * DAY)
    forgotten = retention.forget_silent(time.monotonic() + 600)
    assert forgotten == AGENTS + len(moved)
    assert client.zcard(partition_key(partition_of("P1"), "last_seen")) == 0
    assert 7 * DAY < client.ttl(agent_keys(agents[0])[0]) <= 8 * DAY
    for first in range(0, AGENTS, PER_CALL):  # their keys expire by the clock of the server, which the test cannot move
        client.delete(*(agent_keys(each)[0] for each in agents[first : first + PER_CALL]))
    set_clock(31 * DAY)
    emitter.drain()
    retention.forget_silent(time.monotonic() + 600)

    assert client.dbsize() == keys + 1, "but for the offset of the clock"
    left = client.info("memory")["used_memory_dataset"]
    assert left - memory < (full - memory) / 20


def test_agents_of_a_week_ago_go_and_those_with_an_update_that_waits_stay(in_context, set_clock, agent_update) -> None:
    room = unique("P")
    report(["silent", "finished", "young"], lambda _: room)
    agent_update(room, "finished", "COMPLETED")
    set_clock(6 * DAY)
    report(["young"], lambda _: room)
    set_clock(8 * DAY)

    assert retention.forget_silent(time.monotonic() + 60) == 1

    held = {each.decode() for each in redis_client().hkeys(room_key(room, "agents"))}
    assert held == {"finished", "young"}
    assert {each.decode() for each in redis_client().zrange(room_key(room, "waiting"), 0, -1)} == {"young"}


def test_an_agent_of_which_redis_knows_a_stored_update_alone_goes_after_a_week(in_context, set_clock) -> None:
    room = unique("P")
    data = '{"agentId":"lost","task":"scan","status":"COMPLETED","version":"5"}'
    limiter.emit(room, EventType.AGENT_TASK_UPDATE, data, limiter.StoredEvent(1, "lost"))
    set_clock(DAY)
    limiter.drain()
    assert redis_client().hkeys(room_key(room, "agents")) == [b"lost"]
    set_clock(9 * DAY)

    retention.forget_silent(time.monotonic() + 60)

    assert redis_client().hkeys(room_key(room, "agents")) == []


@pytest.fixture
def agent_update():
    def store(room: str, agent_id: str, status: str) -> None:
        [(version, _)] = limiter.allocate_versions([(agent_id, room)])
        data = f'{{"agentId":"{agent_id}","task":"scan","status":"{status}","version":"{version}"}}'
        limiter.emit(room, EventType.AGENT_TASK_UPDATE, data, limiter.StoredEvent(1, agent_id))

    return store


def test_a_room_that_was_quiet_for_30_days_goes_and_its_numbers_go_on_from_the_clock(in_context, set_clock) -> None:
    quiet, active = unique("P"), unique("P")
    for room in (quiet, active):
        limiter.open_room(room)
        limiter.current_seq(batched_view(room))
        limiter.emit(room, POOL, "{}", limiter.StoredEvent(1, "first"))
    set_clock(29 * DAY)
    limiter.emit(active, POOL, "{}", limiter.StoredEvent(2, "second"))
    set_clock(31 * DAY)

    assert retention.forget_silent(time.monotonic() + 60) == 1

    assert keys_of(quiet) == []
    assert limiter.current_seq(active) == "2"
    assert redis_client().zscore(partition_key(partition_of(quiet), "rooms"), quiet) is None
    assert int(limiter.current_seq(quiet)) > 1_000_000_000_000
    assert limiter.emit(quiet, POOL, "{}", limiter.StoredEvent(2, "second")).emitted == {POOL: 1}


def test_a_quiet_room_in_which_an_event_waits_stays(in_context, set_clock) -> None:
    room = unique("P")
    for _ in range(11):
        limiter.emit(room, POOL, "{}")
    set_clock(31 * DAY)

    assert retention.forget_silent(time.monotonic() + 60) == 0

    assert redis_client().llen(room_key(room, "queue")) == 1


def test_maintenance_ends_at_its_deadline(in_context, set_clock) -> None:
    for _ in range(3):
        limiter.open_room(unique("P"))
    set_clock(31 * DAY)

    assert retention.forget_silent(time.monotonic() - 1) == 0
