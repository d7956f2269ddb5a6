"""Edge cases of the room limiter: late drains, pauses, drops, and the outcome."""

import itertools
import re
import time
from types import SimpleNamespace

import pytest
import redis

from app.core.extensions import redis_client
from app.realtime import emitter, limiter, room_groups
from app.realtime.events import EventType
from app.realtime.outcome import Outcome
from app.realtime.redis_keys import partition_of, room_key
from app.realtime.room_groups import due_rooms
from app.realtime.scripts import room_scripts
from tests.factories import make_agent, make_protocol, report, unique
from tests.support.processes import until
from tests.support.room_reader import reading, seconds_of

pytestmark = pytest.mark.database("sqlite")

POOL, AGENT = EventType.BOUNTY_POOL_UPDATED, EventType.AGENT_TASK_UPDATE


def publish(protocol_id: str, count: int = 1) -> list[Outcome]:
    return [limiter.emit(protocol_id, POOL, f'{{"version":"{number}"}}') for number in range(count)]


def total(*outcomes: Outcome) -> int:
    """The number of events emitted."""
    return sum(sum(each.emitted.values()) for each in outcomes)


def redis_clock() -> int:
    """Microseconds."""
    seconds, micros = redis_client().time()
    return seconds * 1_000_000 + micros


def drain_until(count: int, already: int = 0) -> None:
    left = already

    def drained() -> bool:
        nonlocal left
        left += total(limiter.drain())
        return left >= count

    until(drained, 40, f"{count} events have left", pause=0.02)


def test_a_late_drain_makes_up_for_two_events(in_context, protocol_id, sleeping) -> None:
    left = total(*publish(protocol_id, 25))
    assert 10 <= left <= 22

    sleeping(1.6)

    caught_up = limiter.drain()
    assert total(caught_up) == 3
    assert 90_000 <= caught_up.delay_us <= 150_000, "and then goes on at its pace"
    assert total(limiter.drain()) <= 1


def test_a_queue_leaves_evenly_and_at_most_ten_events_a_second(in_context, protocol_id, emissions) -> None:
    publish(protocol_id, 22)
    drain_until(22, already=10)

    left = emissions.wait_for(protocol_id, 22, 5)

    assert emissions.most_a_second(protocol_id) == 10
    assert left[10].at - left[0].at >= 1.0
    backlog = left[10:]
    assert all(sixth.at - first.at >= 0.25 for first, sixth in zip(backlog, backlog[5:], strict=False))


def test_an_empty_room_has_its_whole_budget_again_after_a_second(in_context, protocol_id, sleeping) -> None:
    publish(protocol_id, 12)
    drain_until(12, already=10)
    sleeping(1.1)
    assert [total(each) for each in publish(protocol_id, 10)] == [1] * 10


def test_the_outcome_says_when_a_room_that_waits_for_its_window_is_due(in_context, protocol_id) -> None:
    began = redis_clock()
    first, *_, last = publish(protocol_id, 11)
    passed = redis_clock() - began

    assert first.delay_us is None
    assert last.delay_us is not None
    assert 1_000_000 - passed <= last.delay_us <= 1_100_000
    drain_until(1)
    assert limiter.drain().delay_us is None


def test_a_queue_holds_a_hundred_events_and_each_more_drops_the_oldest(in_context, protocol_id) -> None:
    outcomes = publish(protocol_id, 115)
    left = sum(total(each) for each in outcomes)
    dropped = [lost for each in outcomes for lost in each.dropped]

    first_drop = next(number for number, each in enumerate(outcomes) if each.dropped)
    left_before = sum(total(each) for each in outcomes[: first_drop + 1])
    assert first_drop == 100 + left_before
    assert [int(lost["seq"]) for lost in dropped] == list(range(left_before + 1, left_before + 1 + len(dropped)))
    assert {(lost["protocolId"], lost["eventType"]) for lost in dropped} == {(protocol_id, POOL)}
    assert left + len(dropped) + 100 == 115


def test_one_drain_covers_more_rooms_than_one_call_takes(in_context, api, monkeypatch) -> None:
    monkeypatch.setattr(room_groups, "ROOMS_PER_CALL", 3)
    monkeypatch.setattr(room_groups, "CALLS_AT_ONCE", 2)
    rooms = [*(make_protocol(api) for _ in range(4)), *(make_protocol(api, id=each) for each in of_one_partition(8))]
    for room in rooms:
        publish(room, 11)
    until(lambda: len(due_rooms(room_scripts(), Outcome())) == len(rooms), 20, "all are due")

    assert total(limiter.drain()) == len(rooms)


def test_a_broken_room_holds_up_no_other_room_of_its_partition(in_context, api, caplog) -> None:
    broken, *others = (make_protocol(api, id=each) for each in of_one_partition(3))
    for room in (broken, *others):
        publish(room, 11)
    until(lambda: len(due_rooms(room_scripts(), Outcome())) == 3, 20, "all are due")
    redis_client().delete(room_key(broken, "window"))
    redis_client().set(room_key(broken, "window"), "not a list")

    assert total(limiter.drain()) == len(others)
    assert {each.protocolId for each in caplog.records if each.message == "room.drain_failed"} == {broken}


def of_one_partition(count: int) -> list[str]:
    """Names of rooms in the same partition."""
    names = (unique("P") for _ in itertools.count())
    return list(itertools.islice((name for name in names if partition_of(name) == 7), count))


def test_the_room_that_is_due_first_is_drained_first(in_context, api, emissions) -> None:
    late, early = make_protocol(api, id="b" * 20), make_protocol(api, id="z" * 20)
    publish(early, 11)
    publish(late, 11)
    until(lambda: len(due_rooms(room_scripts(), Outcome())) == 2, 20, "both are due")

    limiter.drain()

    emissions.wait_until(lambda: len(emissions.of(early)) > 10 and len(emissions.of(late)) > 10, 10)
    assert list(emissions.seen).index(emissions.of(early)[-1]) < list(emissions.seen).index(emissions.of(late)[-1])


def test_an_event_without_receivers_is_undelivered(in_context, protocol_id) -> None:
    missed = publish(protocol_id)[0].undelivered
    assert missed == [{"protocolId": protocol_id, "seq": "1", "eventType": POOL, "processes": "0"}]


def test_an_event_that_left_counts_as_emitted_if_redis_fails_right_after(in_context, protocol_id, monkeypatch) -> None:
    def fail(_calls):
        raise redis.ConnectionError

    monkeypatch.setattr(emitter, "rooms_redis", lambda: SimpleNamespace(execute=fail))
    assert emitter.emit(protocol_id, POOL, "{}")


def test_a_received_event_is_undelivered_only_while_a_client_is_disconnected(in_context, protocol_id, caplog) -> None:
    with reading(redis_client(), protocol_id):
        received = publish(protocol_id)[0]
        emitter.record_disconnect(protocol_id, "viewer-1/token-1")
        missed = publish(protocol_id)[0]
        emitter.record_return(protocol_id, "viewer-1/token-1")
        received_again = publish(protocol_id)[0]

    assert (received.undelivered, received_again.undelivered) == ([], [])
    assert [(each["seq"], each["processes"]) for each in missed.undelivered] == [("2", "1")]


def test_an_event_that_waited_is_undelivered_when_it_leaves(in_context, protocol_id) -> None:
    assert publish(protocol_id, 11)[-1].undelivered == []
    missed = []
    until(lambda: missed.extend(limiter.drain().undelivered) or missed, 20, "it leaves")
    assert [each["seq"] for each in missed] == ["11"]


def test_the_timestamp_of_an_event_is_when_the_limiter_accepted_it(in_context, protocol_id) -> None:
    with reading(redis_client(), protocol_id) as room:
        before = redis_clock() / 1e6
        outcomes = publish(protocol_id, 11)
        after = redis_clock() / 1e6
        drain_until(1)
        events = room.wait_for(11)

    assert len(outcomes) == 11
    moments = [seconds_of(each["timestamp"]) for each in events]
    assert moments == sorted(moments)
    assert before - 0.001 <= moments[0]
    assert moments[-1] <= after
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", each["timestamp"]) for each in events)
    assert [each["seq"] for each in events] == [str(number) for number in range(1, 12)]


def test_the_outcome_says_how_long_an_emitted_report_waited(in_context, api, protocol_id) -> None:
    agent_id = make_agent(api)
    api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id)).expect(202)
    said_at = time.monotonic()
    waits: list[int] = []
    until(lambda: waits.extend(limiter.drain().waits_us) or waits, 20, "it leaves")

    assert len(waits) == 1
    assert 0 <= waits[0] <= (time.monotonic() - said_at) * 1e6 + 5e6


def test_a_room_with_waiting_agents_alone_is_due_when_their_updates_may_leave(in_context, api, protocol_id) -> None:
    agent_id = make_agent(api)
    for progress in (1, 2):
        api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, progress=progress)).expect(202)
        outcome = limiter.drain()
    waiting = outcome if outcome.delay_us else limiter.drain()
    if waiting.delay_us is not None:  # else the machine took more than a second for the second report
        assert waiting.emitted == {}
        assert 0 < waiting.delay_us <= 1_100_000
        until(lambda: total(limiter.drain()) == 1, 20, "its update leaves")
    assert limiter.drain().delay_us is None
