"""The one scheduled drain of the system: when it is scheduled, replaced and cleared."""

from typing import Any

import pytest

from app.core.extensions import celery, redis_client
from app.realtime import emitter, limiter
from app.realtime.events import EventType
from app.realtime.limiter import read_steady_time
from app.realtime.redis_keys import DRAIN_KEY, TICK_KEY
from tests.factories import make_protocol

pytestmark = pytest.mark.database("sqlite")

POOL = EventType.BOUNTY_POOL_UPDATED
QUANTUM = emitter.DRAIN_QUANTUM_US


@pytest.fixture
def drains(in_context, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The drains sent to the workers."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(celery, "send_task", lambda _name, args, **options: sent.append({"at": args[0], **options}))
    return sent


def outcome(now: int, next_due: int | None) -> limiter.Outcome:
    return limiter.Outcome(now=now, next_due=next_due)


def pending() -> int | None:
    found = redis_client().get(DRAIN_KEY)
    return None if found is None else int(found)


def test_no_drain_is_scheduled_while_nothing_waits(drains) -> None:
    emitter.schedule_drain(outcome(1_000_000, None))
    assert (drains, pending()) == ([], None)


def test_a_drain_is_scheduled_for_when_the_room_is_due_and_not_before_the_quantum(drains) -> None:
    emitter.schedule_drain(outcome(1_000_000, 1_900_000))
    assert [each["at"] for each in drains] == [1_900_000]
    assert [each["retry"] for each in drains] == [False], "a dead broker must not hold up the caller"
    assert pending() == 1_900_000
    assert 900 < redis_client().pttl(DRAIN_KEY) <= 900 + 2_000

    redis_client().delete(DRAIN_KEY)
    emitter.schedule_drain(outcome(1_000_000, 900_000))
    assert drains[1]["at"] == 1_000_000 + QUANTUM


def test_a_scheduled_drain_also_serves_a_room_due_slightly_earlier(drains) -> None:
    emitter.schedule_drain(outcome(1_000_000, 2_000_000))
    emitter.schedule_drain(outcome(1_000_000, 3_000_000))
    emitter.schedule_drain(outcome(1_000_000, 2_000_000 - QUANTUM))
    assert len(drains) == 1
    emitter.schedule_drain(outcome(1_000_000, 2_000_000 - QUANTUM - 1))
    assert [each["at"] for each in drains] == [2_000_000, 2_000_000 - QUANTUM - 1]
    assert pending() == 2_000_000 - QUANTUM - 1


def test_only_the_scheduled_drain_clears_its_marker(drains) -> None:
    redis_client().set(DRAIN_KEY, 5_000_000)
    emitter.run_scheduled_drain(4_000_000)
    emitter.drain()
    assert pending() == 5_000_000
    emitter.run_scheduled_drain(5_000_000)
    assert pending() is None


def test_a_failed_schedule_is_counted_and_logged(in_context, monkeypatch, counted, caplog) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError("no broker")

    monkeypatch.setattr(celery, "send_task", fails)
    before = counted("dashboard_enqueue_failures_total")
    emitter.schedule_drain(outcome(1_000_000, 2_000_000))
    assert counted("dashboard_enqueue_failures_total") == before + 1
    assert [each.error for each in caplog.records if each.message == "drain.schedule_failed"] == ["no broker"]


def test_a_drain_is_scheduled_while_an_event_waits_and_not_after_it_has_left(api, drains) -> None:
    protocol_id = make_protocol(api)
    drains.clear()
    redis_client().delete(DRAIN_KEY)
    for number in range(10):
        assert emitter.emit(protocol_id, POOL, f'{{"version":"{number}"}}') is True
    assert drains == []
    assert emitter.emit(protocol_id, POOL, '{"version":"11"}') is True
    assert len(drains) == 1
    assert 0 < drains[0]["at"] - read_steady_time(redis_client()) <= 1_100_000


def test_a_drain_that_leaves_an_event_waiting_schedules_the_next(api, drains) -> None:
    protocol_id = make_protocol(api)
    while limiter.emit(protocol_id, POOL, '{"version":"1"}').next_due is None:
        pass
    limiter.emit(protocol_id, POOL, '{"version":"2"}')
    drains.clear()
    redis_client().delete(DRAIN_KEY)
    emitter.drain()
    assert len(drains) == 1


def test_a_tick_stores_the_time_at_which_it_was_handled(in_context) -> None:
    before = redis_client().time()[0]
    emitter.tick()
    tick = float(redis_client().get(TICK_KEY))
    assert before <= tick <= redis_client().time()[0] + 1


def test_a_drain_that_a_tick_would_precede_is_not_scheduled(drains) -> None:
    emitter.schedule_drain(outcome(1_000_000, 1_000_000 + 2_000_001))
    assert (drains, pending()) == ([], None)

    emitter.schedule_drain(outcome(1_000_000, 1_000_000 + 2_000_000))
    assert [each["at"] for each in drains] == [3_000_000]
