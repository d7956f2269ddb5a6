"""What must hold at the end of the fault mix: accepted changes are kept, limits held, and the accounts agree."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise

from tests.cli.commands import run_doctor
from tests.faults.fault_mix_faults import Span
from tests.faults.fault_mix_load import Change
from tests.support.api import Caller
from tests.support.emissions import Emission, Emissions
from tests.support.event_checks import most_in_a_window
from tests.support.processes import until
from tests.support.stack import Stack

LIMIT, GAP_SECONDS = 10, 1.0
HEARTBEATS_SECONDS = 30
NEWEST_TASKS = 500
STATUSES_OF_FILED = {"PENDING", "CONFIRMED", "PAID"}


def kept_changes(accepted: Iterable[Change], forgotten: list[Span]) -> list[Change]:
    """The changes that were not accepted between the copy of the database and its restoration."""
    return [each for each in accepted if not any(began <= each.at <= ended for began, ended in forgotten)]


def assert_accepted_changes_are_kept(admin: Caller, changes: list[Change]) -> None:
    """Each deposit and completion is stored, each vulnerability has its status, and each payment is released."""
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    for each in sorted(changes, key=lambda change: change.at):
        names[each.kind, each.owner].append(each.name)
    for (kind, owner), accepted in names.items():
        CHECKS[kind](admin, owner, accepted)


def _assert_deposits_are_stored(admin: Caller, protocol_id: str, references: list[str]) -> None:
    entries = Counter(each.get("reference") for each in _pages(admin, f"/protocols/{protocol_id}/pool/entries"))
    found = {each: entries[each] for each in references}
    assert {each: count for each, count in found.items() if count != 1} == {}, "each accepted deposit is stored once"


def _assert_tasks_are_completed(admin: Caller, agent_id: str, tasks: list[str]) -> None:
    """Only the newest of an agent's closed tasks are kept."""
    stored = {each["name"]: each["status"] for each in _pages(admin, f"/agents/{agent_id}/tasks")}
    found = {each: stored.get(each) for each in tasks[-NEWEST_TASKS:]}
    assert {each: status for each, status in found.items() if status != "COMPLETED"} == {}, agent_id


def _assert_vulnerabilities_are(admin: Caller, protocol_id: str, ids: list[str], allowed: set[str]) -> None:
    stored = _statuses(admin, f"/protocols/{protocol_id}/vulnerabilities")
    found = {each: stored.get(each) for each in ids}
    assert {each: status for each, status in found.items() if status not in allowed} == {}, protocol_id


def _assert_payments_are_released(admin: Caller, protocol_id: str, ids: list[str]) -> None:
    def others() -> dict[str, str | None]:
        stored = _statuses(admin, f"/protocols/{protocol_id}/payments")
        return {each: stored.get(each) for each in ids if stored.get(each) != "RELEASED"}

    until(lambda: not others(), 60, f"each accepted payment of {protocol_id} is released", pause=1)


def _statuses(admin: Caller, path: str) -> dict[object, object]:
    return {each["id"]: each["status"] for each in _pages(admin, path)}


CHECKS = {
    "deposit": _assert_deposits_are_stored,
    "completion": _assert_tasks_are_completed,
    "filing": partial(_assert_vulnerabilities_are, allowed=STATUSES_OF_FILED),
    "confirmation": partial(_assert_vulnerabilities_are, allowed=STATUSES_OF_FILED - {"PENDING"}),
    "payment": _assert_payments_are_released,
}


def _pages(caller: Caller, path: str) -> Iterator[dict[str, object]]:
    cursor = ""
    while cursor is not None:
        page = caller.get(f"{path}?limit=200{cursor and f'&cursor={cursor}'}").expect(200)
        yield from page["items"]
        cursor = page["nextCursor"]


def assert_limits_held(seen: Emissions, offsets: set[float]) -> None:
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


def assert_doctor_agrees(stack: Stack) -> None:
    """`dashboard doctor` compares ledger, pools and payments; it learns of the clocks' end with the next heartbeats."""
    done = run_doctor(stack.environment)
    end = time.monotonic() + HEARTBEATS_SECONDS
    while done.returncode and time.monotonic() < end:
        done = run_doctor(stack.environment)
    assert done.returncode == 0, done.stdout + done.stderr
