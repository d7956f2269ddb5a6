"""The one scheduled drain of the system: when it is scheduled, replaced and cleared."""

from typing import Any

import pytest

from app.core.extensions import celery, redis_client
from app.realtime import emitter, limiter
from app.realtime.events import EventType
from app.realtime.outcome import Outcome
from app.realtime.redis_keys import DRAIN_KEY, TICK_KEY
from tests.factories import make_protocol
from tests.support.machine_speed import slowdown

pytestmark = pytest.mark.database("sqlite")

POOL = EventType.BOUNTY_POOL_UPDATED
QUANTUM = emitter.DRAIN_QUANTUM_US
SLACK_MS = emitter.DRAIN_SLACK_US // 1000


@pytest.fixture
def drains(in_context, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The drains sent to the workers."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(celery, "send_task", lambda _name, args, **options: sent.append({"token": args[0], **options}))
    return sent


def outcome(delay_us: int | None) -> Outcome:
    return Outcome(delays_us={0: delay_us, 1: None})


def pending() -> tuple[str, int] | None:
    """The token of the scheduled drain, and its delay in milliseconds."""
    found = redis_client().get(DRAIN_KEY)
    return None if found is None else (found.decode(), redis_client().pttl(DRAIN_KEY) - SLACK_MS)


def is_about(milliseconds: int) -> bool:
    """Whether the drain is scheduled for that time; reading it takes a while."""
    scheduled = pending()
    return scheduled is not None and milliseconds - 100 * slowdown() < scheduled[1] <= milliseconds


def test_no_drain_is_scheduled_while_nothing_waits(drains) -> None:
    emitter.schedule_drain(outcome(None))
    assert (drains, pending()) == ([], None)


def test_a_drain_is_scheduled_for_when_the_room_is_due_and_not_before_the_quantum(drains) -> None:
    emitter.schedule_drain(outcome(900_000))
    assert [each["retry"] for each in drains] == [False], "a dead broker must not hold up the caller"
    assert is_about(900)
    assert pending()[0] == drains[0]["token"]

    redis_client().delete(DRAIN_KEY)
    emitter.schedule_drain(outcome(0))
    assert is_about(QUANTUM // 1000)


def test_a_scheduled_drain_also_serves_a_room_due_slightly_earlier(drains) -> None:
    emitter.schedule_drain(outcome(1_000_000))
    emitter.schedule_drain(outcome(2_000_000))
    emitter.schedule_drain(outcome(1_000_000 - QUANTUM // 2))
    assert len(drains) == 1
    emitter.schedule_drain(outcome(200_000))
    assert is_about(200)
    assert pending()[0] == drains[1]["token"] != drains[0]["token"]


def test_a_drain_that_was_lost_is_replaced(drains) -> None:
    redis_client().set(DRAIN_KEY, "lost", px=emitter.DRAIN_SLACK_US // 1000 - 1)  # its time has passed
    emitter.schedule_drain(outcome(1_000_000))
    assert drains == [], "it may only be late"
    redis_client().delete(DRAIN_KEY)
    emitter.schedule_drain(outcome(1_000_000))
    assert len(drains) == 1


def test_only_the_scheduled_drain_clears_its_marker(drains) -> None:
    redis_client().set(DRAIN_KEY, "second", px=SLACK_MS)
    emitter.run_scheduled_drain("first")
    emitter.drain()
    assert pending()[0] == "second"
    emitter.run_scheduled_drain("second")
    assert pending() is None


def test_a_failed_schedule_is_counted_and_logged(in_context, monkeypatch, counted, caplog) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError("no broker")

    monkeypatch.setattr(celery, "send_task", fails)
    before = counted("dashboard_enqueue_failures_total")
    emitter.schedule_drain(outcome(1_000_000))
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
    assert 0 < pending()[1] <= 1_100


def test_a_drain_that_leaves_an_event_waiting_schedules_the_next(api, drains) -> None:
    protocol_id = make_protocol(api)
    while limiter.emit(protocol_id, POOL, '{"version":"1"}').delay_us is None:
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
    emitter.schedule_drain(outcome(2_000_001))
    assert (drains, pending()) == ([], None)

    emitter.schedule_drain(outcome(2_000_000))
    assert is_about(2_000)
