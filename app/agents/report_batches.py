"""Concurrent reports share a script call: those that arrive during one are sent together in the next."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate

import redis

from app.realtime import limiter
from app.realtime.limiter import RunningReport, Taken
from app.realtime.scripts import RoomScripts

MAX_REPORTS = 500  # in a call; the first request may have more
WAIT_SECONDS = 10


@dataclass(slots=True, eq=False)
class _Request:
    reports: Sequence[RunningReport]
    arrived_at: float = field(default_factory=time.monotonic)
    turn: "threading.Lock | None" = None  # released once it is done, or is to make the next call
    taken: Taken = field(default_factory=Taken)
    error: redis.RedisError | None = None
    is_done: bool = False

    def wake(self) -> None:
        if self.turn is not None:
            with suppress(RuntimeError):  # it was woken before
                self.turn.release()


class ReportBatches:
    """May be called from any thread or greenlet. The first caller makes a call, then another one for all that wait.

    limiter.report keeps only the newest of an agent's reports, so those of a call are in the order of their arrival.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Request] = []
        self._caller: _Request | None = None  # which makes the present call, or is about to

    def report(self, reports: Sequence[RunningReport], scripts: RoomScripts) -> Taken:
        """As `limiter.report`; what left the rooms of agents that moved is told to one of the callers alone.

        Raises redis.RedisError in all callers that shared the call if nothing of it was surely taken.
        """
        own = _Request(reports)
        with self._lock:
            self._waiting.append(own)
            if self._caller is None:
                self._caller = own
            else:
                own.turn = threading.Lock()
                own.turn.acquire()
        if own.turn is not None:
            self._await_turn(own, own.turn)
        if not own.is_done:
            self._call(own, scripts)
        if own.error is not None:
            raise own.error
        return own.taken

    def _await_turn(self, own: _Request, turn: "threading.Lock") -> None:
        """Without a time limit, whose timer cost as much as the waiting: each call ends, and wakes the next caller."""
        try:
            turn.acquire()
        except BaseException:  # its greenlet was killed
            with self._lock:
                self._waiting = [each for each in self._waiting if each is not own]
                if self._caller is own:
                    self._choose_caller()
            raise

    def _call(self, own: _Request, scripts: RoomScripts) -> None:
        """Make a call for those that have waited longest, itself the first."""
        with self._lock:
            sizes = accumulate(len(each.reports) for each in self._waiting)
            count = max(1, sum(size <= MAX_REPORTS for size in sizes))
            batch, self._waiting = self._waiting[:count], self._waiting[count:]
        error: redis.RedisError | None = redis.ConnectionError("The call was ended.")
        try:
            if time.monotonic() - own.arrived_at > WAIT_SECONDS:
                raise redis.TimeoutError("Earlier reports took too long.")
            taken = limiter.report([report for each in batch for report in each.reports], scripts)
            owners = {id(report): each for each in batch for report in each.reports} if taken.starts else {}
            for report, version in taken.starts:
                owners[id(report)].taken.starts.append((report, version))
            for each in batch if taken.failed else ():
                those = {report.agent_id for report in each.reports}
                each.taken.failed = {name: taken.failed[name] for name in those & taken.failed.keys()}
            own.taken.outcome, error = taken.outcome, None
        except redis.RedisError as raised:
            error = raised
        finally:
            with self._lock:
                self._choose_caller()
            for each in batch:
                each.error, each.is_done = error, True
                each.wake()

    def _choose_caller(self) -> None:
        """Needs the lock."""
        self._caller = self._waiting[0] if self._waiting else None
        if self._caller is not None:
            self._caller.wake()
