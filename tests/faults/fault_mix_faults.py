"""The faults of the fault mix, injected one after the other in an order given by the seed."""

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.faults.fault_mix_load import flood
from tests.support.backups import copy_database, copy_redis_data
from tests.support.clock_shim import Clocks
from tests.support.processes import until
from tests.support.seeds import SEED
from tests.support.small_disk import SmallDisk
from tests.support.stack import Stack

SECONDS = int(os.environ.get("FAULT_MIX_SECONDS", "60"))
IS_SHORT = SECONDS < 300
FREQUENT_KINDS = ["kill", "stop", "flood", "clock"]
RARE_KINDS = ["restore", "redis_restore", "disk"]
KINDS = os.environ.get("FAULT_MIX_KINDS", ",".join([*FREQUENT_KINDS, *RARE_KINDS])).split(",")
FULL_DISK_SECONDS = float(os.environ.get("FAULT_MIX_DISK_SECONDS", "20" if IS_SHORT else "60"))
RARE_EVERY_SECONDS = 600  # each rare kind
WEBS = ["web-1", "web-2"]
PARTS = [*WEBS, "worker", "worker-payments", "worker-webhooks", "beat", "redis"]
REDIS_STEPS, WORKER_STEPS = [-600, -30, 0, 30, 600], [-3600, -3, 0, 3, 3600]
MAX_STOP_SECONDS = 8.0
MIN_COPY_AGE_SECONDS, MAX_COPY_AGE_SECONDS = 3.0, 12.0
RESTART_SECONDS = 15.0  # for which probes do not count after a kill or a stop of a web process

Span = tuple[float, float]  # its first and last second by the steady clock


def schedule_of_rare_faults(kinds: list[str], chosen: random.Random) -> list[tuple[float, str]]:
    """The second and the kind of each rare fault, evenly spaced; a short run has one, a longer one each kind."""
    order: list[str] = []
    for _ in range(max(1, round(SECONDS / RARE_EVERY_SECONDS))):
        order += chosen.sample(kinds, len(kinds))
    if IS_SHORT:
        order = order[:1]
    return [(SECONDS * (place + 0.5) / len(order), kind) for place, kind in enumerate(order)]


class Faults:
    """Injects faults and records the times at which web processes were absent and changes were forgotten.

    `clocks` and `disk` are None where they cannot be had; the faults that need them are left out then.
    """

    def __init__(self, stack: Stack, clocks: Clocks | None, disk: SmallDisk | None) -> None:
        self._stack, self._clocks, self._disk, self._random = stack, clocks, disk, random.Random(SEED)
        self.done: list[str] = []
        self.web_absences: list[Span] = []
        self.forgotten: list[Span] = []  # the changes accepted in these times may be gone
        self._kinds: dict[str, Callable[[], None]] = {"kill": self._kill, "stop": self._stop, "flood": self._flood}
        self._kinds |= {"restore": self._restore_database, "redis_restore": self._restore_redis}
        if clocks is not None:
            self._kinds["clock"] = self._step_clock
        if disk is not None:
            self._kinds["disk"] = self._fill_disk
        self._frequent = [kind for kind in FREQUENT_KINDS if kind in self._kinds and kind in KINDS]
        rare = [kind for kind in RARE_KINDS if kind in self._kinds and kind in KINDS]
        self._rare_alone = [] if self._frequent else rare
        self._schedule = schedule_of_rare_faults(rare, self._random) if self._frequent and rare else []

    def inject(self, elapsed: float) -> None:
        """Inject the next fault; `elapsed`: the seconds since the start of the run."""
        if self._schedule and elapsed >= self._schedule[0][0]:
            _, kind = self._schedule.pop(0)
        else:
            kind = self._random.choice(self._frequent or self._rare_alone)
        self._kinds[kind]()

    def reset_clocks(self) -> None:
        """Set all clocks back to the machine's time."""
        if self._clocks is not None:
            self._clocks.step(redis=0, worker=0, beat=0)

    def _note(self, what: str) -> None:
        self.done.append(what)
        print(f"{time.strftime('%H:%M:%S')} fault {len(self.done)}: {what}", flush=True)

    def _kill(self) -> None:
        part = self._random.choice(PARTS)
        self._note(f"kill {part}")
        with self._absence(part in WEBS):
            self._signal(part, signal.SIGKILL)

    def _stop(self) -> None:
        part, seconds = self._random.choice(PARTS), self._random.uniform(1, MAX_STOP_SECONDS)
        self._note(f"stop {part} for {seconds:.1f} s")
        with self._absence(part in WEBS):
            pid = self._signal(part, signal.SIGSTOP)
            time.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):  # it has been replaced
                os.kill(pid, signal.SIGCONT)

    def _signal(self, part: str, number: int) -> int:
        """Signal the running process, waiting for its restart if necessary."""

        def signalled() -> int | None:
            with contextlib.suppress(OSError, ValueError):
                return self._stack.signal(part, number)
            return None

        return until(signalled, 30, f"{part} runs")

    @contextmanager
    def _absence(self, of_a_web: bool = True) -> Iterator[None]:
        began = time.monotonic()
        yield
        if of_a_web:
            self.web_absences.append((began, time.monotonic() + RESTART_SECONDS))

    def _flood(self) -> None:
        seconds = self._random.uniform(2, 6)
        self._note(f"flood for {seconds:.1f} s")
        flood(self._stack, seconds)

    def _step_clock(self) -> None:
        part = self._random.choice(["redis", "worker", "beat"])
        seconds = self._random.choice(REDIS_STEPS if part == "redis" else WORKER_STEPS)
        self._note(f"clock of {part} {seconds:+} s")
        self._clocks.step(**{part: seconds})

    def _restore_database(self) -> None:
        """Copy the database, and some seconds later put the copy in its place while the system is stopped."""
        age = self._random.uniform(MIN_COPY_AGE_SECONDS, MAX_COPY_AGE_SECONDS)
        self._note(f"restore the database to a copy of {age:.1f} s ago")
        database, older = self._stack.home / "dashboard.db", self._stack.folder / "older.db"
        copied_at = time.monotonic()
        copy_database(database, older)
        time.sleep(age)
        with self._absence(), self._stack.stopped():
            copy_database(older, database)
            self.forgotten.append((copied_at, time.monotonic()))

    def _restore_redis(self) -> None:
        """Put Redis's data back to an older copy, or remove them, while the system is stopped."""
        age, is_lost = self._random.uniform(MIN_COPY_AGE_SECONDS, MAX_COPY_AGE_SECONDS), self._random.random() < 0.5
        self._note("lose all data of Redis" if is_lost else f"restore Redis to a copy of {age:.1f} s ago")
        data, older = self._stack.home / "redis", self._stack.folder / "older-redis"
        copy_redis_data(data, older)
        time.sleep(age)
        with self._absence(), self._stack.stopped():
            shutil.rmtree(data)
            if not is_lost:
                shutil.copytree(older, data)

    def _fill_disk(self) -> None:
        """Leave no space on the disk of DASHBOARD_HOME for a while; afterwards the system becomes ready by itself."""
        self._note(f"disk full for {FULL_DISK_SECONDS:.0f} s")
        self._disk.be_full(FULL_DISK_SECONDS)
        until(self._is_ready, 30, "the system is ready after its disk was full", pause=0.2)

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            return self._stack.api.with_token(None).get("//readyz").status == 200
        return False
