"""Beat's scheduler: one beat leads, and ticks do not pile up without workers."""

import pytest

from app.core.extensions import celery, redis_client
from app.core.queues import ALL_QUEUES, REALTIME_QUEUE
from tasks import SCHEDULE
from tasks.scheduler import LEAD_MS, MAX_QUEUED, MonotonicScheduler

pytestmark = pytest.mark.database("sqlite")


@pytest.fixture
def beat(in_context, monkeypatch):
    monkeypatch.setattr(celery, "flask_app", in_context, raising=False)
    before, celery.conf.beat_schedule = celery.conf.beat_schedule, SCHEDULE
    yield lambda: MonotonicScheduler(app=celery)
    celery.conf.beat_schedule = before


def waiting() -> int:
    return sum(int(redis_client().llen(queue)) for queue in ALL_QUEUES)


def test_one_beat_leads_and_another_takes_over_when_it_ends(beat) -> None:
    first, second = beat(), beat()
    first.tick()
    second.tick()
    assert waiting() == len(SCHEDULE)

    first.close()
    second.tick()

    assert waiting() == 2 * len(SCHEDULE)


def test_tasks_of_one_interval_are_due_together_so_that_beat_wakes_once_for_them(beat) -> None:
    scheduler = beat()
    scheduler.tick()

    each_second = [name for name, entry in SCHEDULE.items() if entry["schedule"] == 1.0]
    assert len(each_second) > 1
    assert len({scheduler._due[name] for name in each_second}) == 1


def test_without_a_worker_ticks_do_not_pile_up(beat) -> None:
    scheduler = beat()
    for _ in range(3 * MAX_QUEUED):
        scheduler._due.clear()
        scheduler.tick()

    assert redis_client().llen(REALTIME_QUEUE) <= MAX_QUEUED


def test_a_lease_that_is_too_long_after_redis_clock_stepped_back_is_shortened(beat) -> None:
    beat().tick()
    redis_client().pexpire("beat:leader", 3_600_000)

    beat().tick()

    assert redis_client().pttl("beat:leader") <= LEAD_MS
