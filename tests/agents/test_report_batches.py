"""Concurrent reports share script calls, and each caller learns what became of its own."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from app.agents import report_batches
from app.agents.report_batches import ReportBatches
from app.realtime.limiter import RunningReport, Taken

CALLERS = 250
SCRIPTS: Any = None


class Limiter:
    """Stands in for `limiter.report`: every call lasts until `go_on`, and every report starts a task."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.error: BaseException | None = None
        self.failed: dict[str, redis.RedisError] = {}
        self.began, self.go_on = threading.Semaphore(0), threading.Semaphore(0)

    def report(self, reports: list[RunningReport], _scripts: Any) -> Taken:
        self.calls.append([each.agent_id for each in reports])
        self.began.release()
        assert self.go_on.acquire(timeout=60)
        if self.error is not None:
            raise self.error
        started = [(each, len(self.calls)) for each in reports if each.agent_id not in self.failed]
        return Taken(
            started,
            failed={name: self.failed[name] for name in {each.agent_id for each in reports} & self.failed.keys()},
        )


@pytest.fixture
def limiter(monkeypatch: pytest.MonkeyPatch) -> Limiter:
    limiter = Limiter()
    monkeypatch.setattr(report_batches.limiter, "report", limiter.report)
    return limiter


def report_of(agent_id: str) -> list[RunningReport]:
    return [RunningReport(agent_id, "P1", "Scan", "{")]


def wait_for(batches: ReportBatches, waiting: int) -> None:
    while len(batches._waiting) < waiting:
        threading.Event().wait(0.001)


def test_reports_that_come_during_a_call_are_sent_together_in_the_next(limiter, monkeypatch) -> None:
    monkeypatch.setattr(report_batches, "MAX_REPORTS", 100)
    batches = ReportBatches()
    with ThreadPoolExecutor(CALLERS) as pool:
        first = pool.submit(batches.report, report_of("first"), SCRIPTS)
        assert limiter.began.acquire(timeout=60)
        others = {
            f"agent-{n}": pool.submit(batches.report, report_of(f"agent-{n}"), SCRIPTS) for n in range(CALLERS - 1)
        }
        wait_for(batches, CALLERS - 1)
        for _ in range(4):
            limiter.go_on.release()
        assert [each.agent_id for each, _ in first.result(60).starts] == ["first"]
        for agent_id, other in others.items():
            assert [each.agent_id for each, _ in other.result(60).starts] == [agent_id]

    assert [len(each) for each in limiter.calls] == [1, 100, 100, 49]
    assert batches._caller is None


@pytest.mark.parametrize(
    "error", [redis.TimeoutError("late"), SystemExit()], ids=["Redis fails", "the caller is killed"]
)
def test_a_failed_call_fails_all_that_share_it_and_no_other(limiter: Limiter, error: BaseException) -> None:
    batches = ReportBatches()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(batches.report, report_of("first"), SCRIPTS)
        assert limiter.began.acquire(timeout=60)
        sharing = [pool.submit(batches.report, report_of(name), SCRIPTS) for name in ("a", "b")]
        wait_for(batches, 2)
        limiter.go_on.release()
        assert first.result(60).starts
        assert limiter.began.acquire(timeout=60)
        limiter.error = error
        last = pool.submit(batches.report, report_of("last"), SCRIPTS)
        wait_for(batches, 1)
        limiter.go_on.release()
        errors = [each.exception(60) for each in sharing]
        limiter.error = None
        limiter.go_on.release()
        assert last.result(60).starts
    assert all(isinstance(each, redis.RedisError | SystemExit) for each in errors)


def test_a_report_that_fails_fails_its_own_request_alone(limiter: Limiter) -> None:
    batches, limiter.failed = ReportBatches(), {"a": redis.ConnectionError("one server is down")}
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(batches.report, report_of("first"), SCRIPTS)
        assert limiter.began.acquire(timeout=60)
        hit = pool.submit(batches.report, report_of("a") + report_of("b"), SCRIPTS)
        wait_for(batches, 1)
        other = pool.submit(batches.report, report_of("c"), SCRIPTS)
        wait_for(batches, 2)
        limiter.go_on.release(2)
        assert first.result(60).starts
        assert [each.agent_id for each, _ in hit.result(60).starts] == ["b"]
        assert (list(hit.result(60).failed), other.result(60).failed) == (["a"], {})
        assert [each.agent_id for each, _ in other.result(60).starts] == ["c"]


def test_a_request_whose_turn_comes_too_late_fails_and_the_next_goes_on(limiter, monkeypatch) -> None:
    batches = ReportBatches()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(batches.report, report_of("first"), SCRIPTS)
        assert limiter.began.acquire(timeout=60)
        late = pool.submit(batches.report, report_of("late"), SCRIPTS)
        wait_for(batches, 1)
        monkeypatch.setattr(report_batches, "WAIT_SECONDS", 0)
        limiter.go_on.release()
        assert first.result(60).starts
        assert isinstance(late.exception(60), redis.TimeoutError)
        monkeypatch.setattr(report_batches, "WAIT_SECONDS", 60)
        limiter.go_on.release()
        assert batches.report(report_of("next"), SCRIPTS).starts
    assert limiter.calls == [["first"], ["next"]]


class KilledLock:
    """A lock in whose second `acquire` its greenlet is killed."""

    def __init__(self) -> None:
        self.is_held = False

    def acquire(self) -> None:
        if self.is_held:
            raise SystemExit
        self.is_held = True


def test_a_request_that_is_killed_while_it_waits_is_forgotten(limiter: Limiter, monkeypatch) -> None:
    batches = ReportBatches()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(batches.report, report_of("first"), SCRIPTS)
        assert limiter.began.acquire(timeout=60)
        with monkeypatch.context() as patch:
            patch.setattr(report_batches, "threading", SimpleNamespace(Lock=KilledLock))
            with pytest.raises(SystemExit):
                batches.report(report_of("killed"), SCRIPTS)
        patient = pool.submit(batches.report, report_of("patient"), SCRIPTS)
        wait_for(batches, 1)
        limiter.go_on.release()
        limiter.go_on.release()
        assert first.result(60).starts
        assert patient.result(60).starts
    assert limiter.calls == [["first"], ["patient"]]
