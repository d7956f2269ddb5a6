"""Random faults under load; `make fault-mix`.

Kills, stops, a flooding client, clock steps, an older database, an older or empty Redis, and a full disk.
`FAULT_MIX_SECONDS=1800` runs for half an hour, `FAULT_MIX_KINDS=kill,stop,flood,clock,restore,redis_restore,disk`
selects the faults, `FAULT_MIX_DISK_SECONDS` is how long the disk is full, `TEST_SEED` repeats their order. Clock steps
need a C compiler and the full disk the right to mount; without them they are left out with a message.
"""

import time
from collections import Counter
from collections.abc import Iterator

import pytest
import redis

from tests.factories import make_agent, make_protocol
from tests.faults.fault_mix_checks import (
    assert_accepted_changes_are_kept,
    assert_doctor_agrees,
    assert_limits_held,
    kept_changes,
)
from tests.faults.fault_mix_faults import SECONDS, Faults
from tests.faults.fault_mix_load import Load, Probes
from tests.support.clock_shim import Clocks
from tests.support.emissions import Emissions, watch_emissions_over_restarts
from tests.support.machine_speed import slowdown
from tests.support.rooms import Rooms
from tests.support.seeds import SEED
from tests.support.small_disk import SmallDisk

ROOMS, CLIENTS_PER_ROOM, LOADS = 12, 4, 6
MAX_HEALTH_MS = 500  # the 99th percentile of /healthz on an idle machine, except while a web process is absent


@pytest.fixture
def clocks(tmp_path) -> Clocks | None:
    if Clocks.is_available():
        return Clocks(tmp_path)
    print("no C compiler: clock steps are left out")
    return None


@pytest.fixture
def disk(tmp_path) -> Iterator[SmallDisk | None]:
    with SmallDisk.mounted(tmp_path / "disk") as mounted:
        if mounted is None:
            print("no right to mount (root, or `unshare --user --map-root-user --mount`): the full disk is left out")
        yield mounted


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 900)
def test_under_random_faults_nothing_accepted_is_lost_and_no_limit_breaks(disk, make_stack, clocks):
    max_health_ms = MAX_HEALTH_MS * slowdown()  # by the machine's other load: the system does not run yet
    home = disk.path / "home" if disk else None
    stack = make_stack(webs=2, home=home, **(clocks.environment if clocks else {}))
    agents = {make_protocol(stack.api): make_agent(stack.api) for _ in range(ROOMS)}
    faults, probes = Faults(stack, clocks, disk), Probes(stack.url)

    def connect() -> "redis.Redis[bytes]":
        return redis.Redis.from_url(stack.redis_url, protocol=2, socket_timeout=None)

    with Rooms(stack, dict.fromkeys(agents, CLIENTS_PER_ROOM)) as rooms, watch_emissions_over_restarts(connect) as seen:
        rooms.wait_until_live(120)
        loads = [Load(stack.api, agents, SEED + number) for number in range(LOADS)]
        for each in (*loads, probes):
            each.start()
        _inject_faults(faults)
        stack.wait_until_open(60)
        for each in (*loads, probes):
            each.stop()

        stack.wait_until_whole(120)
        rooms.wait_until_right(180)
        kept = kept_changes([change for load in loads for change in load.accepted], faults.forgotten)
        _print_summary(faults, probes, loads, seen)
        assert_accepted_changes_are_kept(stack.api.admin, kept)
        assert_limits_held(seen, clocks.redis_offsets if clocks else {0.0})
        assert_doctor_agrees(stack)
        assert probes.p99_ms(faults.web_absences) < max_health_ms


def _inject_faults(faults: Faults) -> None:
    began = time.monotonic()
    while time.monotonic() < began + SECONDS:
        faults.inject(time.monotonic() - began)
        time.sleep(2)  # the system works for a while before the next fault
    faults.reset_clocks()


def _print_summary(faults: Faults, probes: Probes, loads: list[Load], seen: Emissions) -> None:
    accepted = [change for load in loads for change in load.accepted]
    counts = Counter(each.kind for each in accepted)
    gone = len(accepted) - len(kept_changes(accepted, faults.forgotten))
    print(
        f"fault mix, TEST_SEED={SEED}: {len(faults.done)} faults, {len(seen.seen)} events; accepted: "
        f"{sum(each.running_reports for each in loads)} reports, {counts['completion']} completions, "
        f"{counts['deposit']} deposits, {counts['filing']} filings, {counts['payment']} payments, of which {gone} "
        f"were accepted after the copy of a database restored later; /healthz p99 "
        f"{probes.p99_ms(faults.web_absences):.0f} ms while both web processes ran, {probes.p99_ms([]):.0f} ms in all"
    )
