"""A shared result reaches its callers also when one of them is killed: a greenlet may be, at each of its waits."""

import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cachetools import LRUCache, TTLCache

from app.core.concurrency import SharedCache, SingleFlight


class Maker:
    """Makes results `1`, `2`, …, each when it may go on; the greenlet of the `killed` ones ends instead."""

    def __init__(self, killed: set[int]) -> None:
        self._killed, self.began, self.go_on, self.count = killed, threading.Semaphore(0), threading.Semaphore(0), 0

    def __call__(self) -> int:
        self.count += 1
        number = self.count
        self.began.release()
        assert self.go_on.acquire(timeout=60)
        if number in self._killed:
            raise SystemExit
        return number


class KilledLock:
    def __enter__(self) -> None:
        raise SystemExit

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def flight() -> SingleFlight[int]:
    return SingleFlight()


def wait_for_pending(flight: SingleFlight[int], waiters: int) -> None:
    """Until this many callers wait for the result of the pending one."""
    while not flight._pending or len(flight._pending["key"]._waiters) < waiters:
        threading.Event().wait(0.001)


def test_callers_that_share_the_result_of_a_killed_one_get_another(flight: SingleFlight[int]) -> None:
    make = Maker(killed={2})
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(flight.share, "key", make)
        assert make.began.acquire(timeout=60)
        sharing = [pool.submit(flight.share, "key", make) for _ in range(3)]
        wait_for_pending(flight, 2)
        make.go_on.release(4)  # the others may share one more or not
        assert first.result(60) == 1
        outcomes: list[Any] = [each.exception(60) or each.result() for each in sharing]
    assert sum(isinstance(each, SystemExit) for each in outcomes) == 1, "the killed one itself"
    assert {each for each in outcomes if not isinstance(each, SystemExit)} <= {3, 4}
    assert not flight._pending


def test_a_caller_that_is_killed_before_its_turn_leaves_nothing_to_wait_for(flight: SingleFlight[int]) -> None:
    locks, flight._running = flight._running, [KilledLock()] * len(flight._running)  # type: ignore[list-item]
    with pytest.raises(SystemExit):
        flight.share("key", lambda: 1)
    flight._running = locks

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(flight.share, "key", lambda: 2).result(5) == 2


def test_an_error_is_raised_in_every_caller(flight: SingleFlight[int]) -> None:
    make = Maker(killed=set())

    def fail() -> int:
        make()
        raise KeyError("no")

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(flight.share, "key", make)
        assert make.began.acquire(timeout=60)
        sharing = [pool.submit(flight.share, "key", fail) for _ in range(2)]
        wait_for_pending(flight, 1)
        make.go_on.release(2)
        assert first.result(60) == 1
        assert [type(each.exception(60)) for each in sharing] == [KeyError, KeyError]


@pytest.mark.parametrize("cache", [LRUCache(20), TTLCache(20, 0.001)], ids=["by use", "by age"])
def test_a_cache_that_threads_share_stays_whole(cache: Any) -> None:
    shared: SharedCache[int, int] = SharedCache(cache)
    interval = sys.getswitchinterval()

    def use(seed: int) -> None:
        cases = random.Random(seed)
        for _ in range(400):
            key = cases.randrange(200)
            shared[key] = key
            assert shared.get(cases.randrange(200)) in {None, *range(200)}

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(use, range(4)))
    finally:
        sys.setswitchinterval(interval)
    shared[1] = 2
    assert len(cache) <= 20
