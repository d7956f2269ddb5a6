"""Steps of Redis's clock: nothing waits for longer than its window, and every limit holds during and after."""

import time

import pytest

from app.agents.reported import counts, last_seen_us, now_us, presence
from app.core.extensions import redis_client, redis_clock
from app.realtime import emitter, limiter
from app.realtime.agent_records import AgentRecord, parse_agent
from app.realtime.events import EventType
from app.realtime.redis_keys import DRAIN_KEY, partition_key, partition_of, room_key
from tests.factories import make_agent, make_protocol
from tests.support.machine_speed import slowdown
from tests.support.processes import until
from tests.support.redis_clock import movable_clock

pytestmark = pytest.mark.database("sqlite")  # tests Redis only

LIMIT = 10
STEPS = (-3600, -40, -2, 2, 40, 3600)


@pytest.fixture
def set_clock(in_context, monkeypatch):
    with movable_clock(monkeypatch) as move:
        yield move


def publish(protocol_id: str, count: int) -> None:
    for number in range(count):
        limiter.emit(protocol_id, EventType.BOUNTY_POOL_UPDATED, f'{{"version":"{number}"}}')


def record(protocol_id: str, agent_id: str) -> AgentRecord:
    key = room_key(protocol_id, "agents")
    return parse_agent(redis_client().hget(key, agent_id))


def drain_until(condition, seconds: float) -> None:
    def is_met() -> bool:
        emitter.drain()
        return bool(condition())

    until(is_met, seconds, "everything that waits has left", pause=0.05)


@pytest.mark.parametrize("step", STEPS)
def test_a_full_room_goes_on_and_keeps_its_limit_when_redis_clock_steps(api, set_clock, emissions, step):
    protocol_id = make_protocol(api)
    publish(protocol_id, LIMIT + 5)
    set_clock(step)
    publish(protocol_id, 5)
    drain_until(lambda: len(emissions.of(protocol_id)) == LIMIT + 10, 15)
    set_clock(0)
    publish(protocol_id, LIMIT + 5)
    drain_until(lambda: len(emissions.of(protocol_id)) == 2 * LIMIT + 15, 15)

    assert emissions.most_a_second(protocol_id) == LIMIT
    assert [each.seq for each in emissions.of(protocol_id)] == list(range(1, 2 * LIMIT + 16))


@pytest.mark.parametrize("step", STEPS)
def test_an_agent_update_is_emitted_within_seconds_and_once_a_second_when_redis_clock_steps(
    api, set_clock, emissions, step
):
    protocol_id, agent_id = make_protocol(api), make_agent(api)

    def offer(progress: int) -> int:
        data = f'{{"agentId":"{agent_id}","task":"scan","progress":"{progress}","status":"RUNNING"'
        limiter.report([limiter.RunningReport(agent_id, protocol_id, "scan", data)])
        return record(protocol_id, agent_id).version

    versions = [offer(1)]
    drain_until(lambda: len(emissions.of(protocol_id)) == 1, 10)
    set_clock(step)
    versions.append(offer(2))
    drain_until(lambda: len(emissions.of(protocol_id)) == 2, 10)
    set_clock(0)
    versions.append(offer(3))
    drain_until(lambda: len(emissions.of(protocol_id)) == 3, 10)

    first, second, third = (each.at for each in emissions.of(protocol_id))
    assert min(second - first, third - second) > 0.999
    assert versions == sorted(set(versions))


def test_a_scheduled_drain_of_the_future_is_not_waited_for(api, set_clock, emissions, monkeypatch):
    """A marker of before the clock stepped back expires much later than it was meant to."""
    sent = []
    monkeypatch.setattr("app.core.extensions.celery.send_task", lambda *args, **_: sent.append(args))
    protocol_id = make_protocol(api)
    redis_client().set(DRAIN_KEY, "early", px=3_600_000)
    for number in range(LIMIT + 1):
        emitter.emit(protocol_id, EventType.BOUNTY_POOL_UPDATED, f'{{"version":"{number}"}}')

    assert [task for task, _ in sent] == ["tasks.drain"]
    began = time.monotonic()
    redis_client().set(DRAIN_KEY, "early", px=3_600_000)
    emitter.run_scheduled_drain("early")
    assert time.monotonic() - began < 30 * slowdown()


def test_an_agent_last_seen_in_the_future_is_offline_two_minutes_after_the_clock_stepped_back(in_context, set_clock):
    set_clock(3600)
    limiter.report([limiter.RunningReport("A1", "P1", "scan", '{"agentId":"A1","status":"RUNNING"')])
    set_clock(0)
    key = partition_key(partition_of("P1"), "last_seen")

    drain_until(lambda: redis_client().zscore(key, "A1") <= redis_clock().now() * 1e6, 10)

    (seen,) = last_seen_us(["A1"])
    assert seen is not None
    assert seen <= redis_clock().now() * 1e6
    assert presence(seen, now_us())[0] == "ONLINE"
    assert presence(seen - 121e6, now_us())[0] == "OFFLINE"
    assert counts(None, None)["busy"] == 1


def test_a_report_after_a_step_back_counts_as_seen_now(set_clock):
    limiter.report([limiter.RunningReport("A1", "P1", "scan", '{"agentId":"A1","status":"RUNNING"')])
    set_clock(-3600)
    limiter.report([limiter.RunningReport("A1", "P1", "scan", '{"agentId":"A1","status":"RUNNING"')])

    score = redis_client().zscore(partition_key(partition_of("P1"), "last_seen"), "A1")

    assert score is not None
    assert score / 1e6 < redis_clock().now() - 3500
