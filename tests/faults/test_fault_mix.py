"""Faults at random under load: kills, stops, restarts of Redis, a flooding stranger, clock steps; `make fault-mix`.

`FAULT_MIX_SECONDS=1800` is the long form, `FAULT_MIX_KINDS=kill,stop,flood,clock` what it does, and `TEST_SEED` repeats
the order of the faults. Steps of clocks need a C compiler; without one they are left out, and the output says so.
"""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
import redis

from tests.factories import make_agent, make_protocol
from tests.faults.fault_mix_load import Load, Probes, flood
from tests.support.api import Caller
from tests.support.clock_shim import Clocks
from tests.support.emissions import Emission, Emissions, watch_emissions_over_restarts
from tests.support.event_checks import most_in_a_window
from tests.support.processes import until
from tests.support.rooms import Rooms
from tests.support.seeds import SEED
from tests.support.stack import COMMAND, Stack

SECONDS = int(os.environ.get("FAULT_MIX_SECONDS", "60"))
KINDS = os.environ.get("FAULT_MIX_KINDS", "kill,stop,flood,clock").split(",")
ROOMS, CLIENTS_PER_ROOM, LOADS = 12, 4, 6
WEBS = ["web-1", "web-2"]
PARTS = [*WEBS, "worker", "worker-payments", "beat", "redis"]
REDIS_STEPS, WORKER_STEPS = [-600, -30, 0, 30, 600], [-3600, -3, 0, 3, 3600]
MAX_STOP_SECONDS = 8.0
RESTART_SECONDS = 15.0  # after a kill or a stop of a web process its probes do not count for so long
LIMIT, GAP_SECONDS = 10, 1.0
NEWEST_TASKS = 100


class Faults:
    """Does one fault after the other, and remembers when a web process was not there because of it."""

    def __init__(self, stack: Stack, clocks: Clocks | None) -> None:
        self._stack, self._clocks, self._random = stack, clocks, random.Random(SEED)
        self.done: list[str] = []
        self.web_absences: list[tuple[float, float]] = []
        self._kinds: dict[str, Callable[[], None]] = {"kill": self._kill, "stop": self._stop, "flood": self._flood}
        if clocks is not None:
            self._kinds["clock"] = self._step_clock

    def one(self) -> None:
        self._kinds[self._random.choice([kind for kind in KINDS if kind in self._kinds])]()

    def end(self) -> None:
        """Set all clocks right again."""
        if self._clocks is not None:
            for part in ("redis", "worker", "beat"):
                self._clocks.step(part, 0)

    def _note(self, what: str) -> None:
        self.done.append(what)
        print(f"fault {len(self.done)}: {what}", flush=True)

    def _kill(self) -> None:
        part = self._random.choice(PARTS)
        self._note(f"kill {part}")
        with self._absence(part):
            self._signal(part, signal.SIGKILL)

    def _stop(self) -> None:
        part, seconds = self._random.choice(PARTS), self._random.uniform(1, MAX_STOP_SECONDS)
        self._note(f"stop {part} for {seconds:.1f} s")
        with self._absence(part):
            pid = self._signal(part, signal.SIGSTOP)
            time.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):  # it was replaced meanwhile
                os.kill(pid, signal.SIGCONT)

    def _signal(self, part: str, number: int) -> int:
        """Signal the living process; it may be between its end and its next start."""

        def signalled() -> int | None:
            with contextlib.suppress(OSError, ValueError):
                return self._stack.signal(part, number)
            return None

        return until(signalled, 30, f"{part} runs")

    @contextmanager
    def _absence(self, part: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        if part in WEBS:
            self.web_absences.append((began, time.monotonic() + RESTART_SECONDS))

    def _flood(self) -> None:
        seconds = self._random.uniform(2, 6)
        self._note(f"flood for {seconds:.1f} s")
        flood(self._stack, seconds)

    def _step_clock(self) -> None:
        part = self._random.choice(["redis", "worker", "beat"])
        seconds = self._random.choice(REDIS_STEPS if part == "redis" else WORKER_STEPS)
        self._note(f"clock of {part} {seconds:+} s")
        self._clocks.step(part, seconds)


@pytest.fixture
def clocks(tmp_path) -> Clocks | None:
    if Clocks.is_available():
        return Clocks(tmp_path)
    print("no C compiler: steps of clocks are left out")
    return None


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 900)
def test_under_random_faults_nothing_accepted_is_lost_and_no_limit_breaks(make_stack, clocks):
    stack = make_stack(webs=2, **(clocks.environment if clocks else {}))
    agents = {make_protocol(stack.api): make_agent(stack.api) for _ in range(ROOMS)}
    faults, probes = Faults(stack, clocks), Probes(stack.url)

    def connect() -> "redis.Redis[bytes]":
        return redis.Redis.from_url(stack.redis_url, protocol=2, socket_timeout=None)

    with Rooms(stack, dict.fromkeys(agents, CLIENTS_PER_ROOM)) as rooms, watch_emissions_over_restarts(connect) as seen:
        rooms.wait_until_live(120)
        loads = [Load(stack.api, agents, SEED + number) for number in range(LOADS)]
        for each in (*loads, probes):
            each.start()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            faults.one()
            time.sleep(2)  # what was broken is used again before the next fault
        faults.end()
        stack.wait_until_open(60)
        for each in (*loads, probes):
            each.stop()

        _everything_heals(stack, rooms)
        _report(faults, probes, loads, seen)
        for each in loads:
            _accepted_changes_are_kept(stack, each)
        _limits_held(seen, clocks.redis_offsets if clocks else {0.0})
        _books_agree(stack)


def _everything_heals(stack: Stack, rooms: Rooms) -> None:
    stack.wait_until_whole(120)
    rooms.wait_until_right(180)


def _report(faults: Faults, probes: Probes, loads: list[Load], seen: Emissions) -> None:
    accepted = [each.accepted for each in loads]
    deposits = sum(len(references) for each in accepted for references in each.deposits.values())
    closings = sum(len(tasks) for each in accepted for tasks in each.closed.values())
    payments, running = (sum(values) for values in zip(*[(len(e.payments), e.running) for e in accepted], strict=True))
    print(
        f"fault mix, TEST_SEED={SEED}: {len(faults.done)} faults, {len(seen.seen)} events; accepted: {running} "
        f"reports, {closings} closings, {deposits} deposits, {payments} payments; /healthz p99 "
        f"{probes.p99_ms(faults.web_absences):.0f} ms while both web processes ran, {probes.p99_ms([]):.0f} ms in all"
    )


def _accepted_changes_are_kept(stack: Stack, load: Load) -> None:
    admin, accepted = stack.api.admin, load.accepted
    for protocol_id, references in accepted.deposits.items():
        entries = [each.get("reference") for each in _pages(admin, f"/protocols/{protocol_id}/pool/entries")]
        assert [each for each in references if entries.count(each) != 1] == [], "each accepted deposit is stored once"
    for agent_id, tasks in accepted.closed.items():
        stored = {each["name"]: each["status"] for each in _pages(admin, f"/agents/{agent_id}/tasks")}
        assert [each for each in tasks[-NEWEST_TASKS:] if stored.get(each) != "COMPLETED"] == []
    paid = set(accepted.payments)
    for payment_id in paid:
        until(lambda it=payment_id: _status(admin, f"/payments/{it}") == "RELEASED", 60, f"{payment_id} is released")
    for finding_id in accepted.findings:
        wanted = {"CONFIRMED", "PAID"} if finding_id in accepted.confirmed else {"PENDING", "CONFIRMED"}
        assert _status(admin, f"/vulnerabilities/{finding_id}") in wanted


def _status(caller: Caller, path: str) -> str:
    return caller.get(path).expect(200)["status"]


def _pages(caller: Caller, path: str) -> Iterator[dict[str, object]]:
    cursor = ""
    while cursor is not None:
        page = caller.get(f"{path}?limit=200{cursor and f'&cursor={cursor}'}").expect(200)
        yield from page["items"]
        cursor = page["nextCursor"]


def _limits_held(seen: Emissions, offsets: set[float]) -> None:
    """No room was told more than ten events in any second, and of no agent twice in one."""
    rooms, agents = {}, {}
    for each in list(seen.seen):
        at = _true_time(each, offsets)
        rooms.setdefault(each.protocol_id, []).append(at)
        if each.members["eventType"] == "agent:task_update":
            agents.setdefault(each.members["agentId"], []).append(at)
    most = {room: most_in_a_window(times, GAP_SECONDS - 0.001) for room, times in rooms.items()}
    gaps = {agent: min((b - a for a, b in pairwise(sorted(times))), default=9.0) for agent, times in agents.items()}
    assert {room: count for room, count in most.items() if count > LIMIT} == {}
    assert {agent: gap for agent, gap in gaps.items() if gap < GAP_SECONDS - 0.001} == {}


def _true_time(emission: Emission, offsets: set[float]) -> float:
    """The moment on the machine's clock: Redis's, less the offset that it had, which the watcher's clock tells."""
    late = emission.at - emission.heard_at
    return emission.at - min(offsets, key=lambda offset: abs(late - offset))


def _books_agree(stack: Stack) -> None:
    """`doctor` compares ledger, pools and payments."""
    done = subprocess.run(
        [*COMMAND, "doctor"], env=stack.environment, cwd=stack.folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
