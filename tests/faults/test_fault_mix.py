"""Random faults under load: kills, stops, Redis restarts, a flooding client and clock steps; `make fault-mix`.

`FAULT_MIX_SECONDS=1800` runs for half an hour, `FAULT_MIX_KINDS=kill,stop,flood,clock` selects the faults, `TEST_SEED`
repeats their order. Clock steps need a C compiler; without one they are skipped with a message.
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
RESTART_SECONDS = 15.0  # for which probes do not count after a kill or a stop of a web process
LIMIT, GAP_SECONDS = 10, 1.0
NEWEST_TASKS = 100


class Faults:
    """Injects one fault after the other and records when a web process was absent because of it."""

    def __init__(self, stack: Stack, clocks: Clocks | None) -> None:
        self._stack, self._clocks, self._random = stack, clocks, random.Random(SEED)
        self.done: list[str] = []
        self.web_absences: list[tuple[float, float]] = []
        self._kinds: dict[str, Callable[[], None]] = {"kill": self._kill, "stop": self._stop, "flood": self._flood}
        if clocks is not None:
            self._kinds["clock"] = self._step_clock

    def inject(self) -> None:
        self._kinds[self._random.choice([kind for kind in KINDS if kind in self._kinds])]()

    def reset_clocks(self) -> None:
        """Set all clocks back to the machine's time."""
        if self._clocks is not None:
            self._clocks.step(redis=0, worker=0, beat=0)

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
        self._clocks.step(**{part: seconds})


@pytest.fixture
def clocks(tmp_path) -> Clocks | None:
    if Clocks.is_available():
        return Clocks(tmp_path)
    print("no C compiler: clock steps are skipped")
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
            faults.inject()
            time.sleep(2)  # the system works for a while before the next fault
        faults.reset_clocks()
        stack.wait_until_open(60)
        for each in (*loads, probes):
            each.stop()

        _wait_until_recovered(stack, rooms)
        _print_summary(faults, probes, loads, seen)
        for each in loads:
            _assert_accepted_changes_are_kept(stack, each)
        _assert_limits_held(seen, clocks.redis_offsets if clocks else {0.0})
        _assert_reconciliation_passes(stack)


def _wait_until_recovered(stack: Stack, rooms: Rooms) -> None:
    stack.wait_until_whole(120)
    rooms.wait_until_right(180)


def _print_summary(faults: Faults, probes: Probes, loads: list[Load], seen: Emissions) -> None:
    accepted = [each.accepted for each in loads]
    deposits = sum(len(references) for each in accepted for references in each.deposits.values())
    completions = sum(len(tasks) for each in accepted for tasks in each.completed.values())
    payments, running = (sum(values) for values in zip(*[(len(e.payments), e.running) for e in accepted], strict=True))
    print(
        f"fault mix, TEST_SEED={SEED}: {len(faults.done)} faults, {len(seen.seen)} events; accepted: {running} "
        f"reports, {completions} completions, {deposits} deposits, {payments} payments; /healthz p99 "
        f"{probes.p99_ms(faults.web_absences):.0f} ms while both web processes ran, {probes.p99_ms([]):.0f} ms in all"
    )


def _assert_accepted_changes_are_kept(stack: Stack, load: Load) -> None:
    admin, accepted = stack.api.admin, load.accepted
    for protocol_id, references in accepted.deposits.items():
        entries = [each.get("reference") for each in _pages(admin, f"/protocols/{protocol_id}/pool/entries")]
        assert [each for each in references if entries.count(each) != 1] == [], "each accepted deposit is stored once"
    for agent_id, tasks in accepted.completed.items():
        stored = {each["name"]: each["status"] for each in _pages(admin, f"/agents/{agent_id}/tasks")}
        assert [each for each in tasks[-NEWEST_TASKS:] if stored.get(each) != "COMPLETED"] == []
    paid = set(accepted.payments)
    for payment_id in paid:
        until(lambda it=payment_id: _status(admin, f"/payments/{it}") == "RELEASED", 60, f"{payment_id} is released")
    for vulnerability_id in accepted.vulnerabilities:
        wanted = {"CONFIRMED", "PAID"} if vulnerability_id in accepted.confirmed else {"PENDING", "CONFIRMED"}
        assert _status(admin, f"/vulnerabilities/{vulnerability_id}") in wanted


def _status(caller: Caller, path: str) -> str:
    return caller.get(path).expect(200)["status"]


def _pages(caller: Caller, path: str) -> Iterator[dict[str, object]]:
    cursor = ""
    while cursor is not None:
        page = caller.get(f"{path}?limit=200{cursor and f'&cursor={cursor}'}").expect(200)
        yield from page["items"]
        cursor = page["nextCursor"]


def _assert_limits_held(seen: Emissions, offsets: set[float]) -> None:
    """No room had more than ten events in any second, and no agent more than one."""
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
    """The time by the machine's clock: Redis's time less the offset that fits the time of receipt best."""
    ahead = emission.at - emission.received_at
    return emission.at - min(offsets, key=lambda offset: abs(ahead - offset))


def _assert_reconciliation_passes(stack: Stack) -> None:
    """`dashboard doctor` compares ledger, pools and payments."""
    done = subprocess.run(
        [*COMMAND, "doctor"], env=stack.environment, cwd=stack.folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
