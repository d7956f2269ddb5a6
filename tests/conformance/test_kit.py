"""The kit itself: it finds what a careless client does wrong, and its README lists its steps."""

import sys
from pathlib import Path

import pytest

from clients.conformance.case import Case, CaseError, load
from clients.conformance.driver import Command
from clients.conformance.play import Steps, play
from clients.conformance.room import Room
from clients.conformance.states import difference, faults_of

FOLDER = Path(__file__).parent
README = FOLDER.parents[1] / "clients" / "conformance" / "README.md"


def faults(fault: str, *steps: tuple[str, object], role: str = "room", **room: object) -> str:
    command = Command(
        "careless", [sys.executable, str(FOLDER / "careless_client.py")], environment=lambda: {"FAULT": fault}
    )
    return "\n".join(play(Case("case", "A case", role, (), room, steps), command, "socketio").faults)


def test_a_client_that_is_right_has_no_faults() -> None:
    assert faults("", ("equal", None)) == ""


def test_a_state_that_stays_behind_is_found() -> None:
    ends_the_client = ("token", "T2")
    found = faults("", ("equal", None), ("lose", {"deposit": "50"}), ends_the_client, ("equal", None))
    assert "step 4 (equal): the driver has ended: live and equal to the room; status 'live', pool: " in found
    assert "instead of {'currency': 'USDC', 'total': '1050'" in found


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("pool", "the pool's amounts do not add up"),
        ("goes back", "the pool went back from version 1 to 0"),
        ("exit code", "step 2 (close): the driver exited with 1"),
    ],
)
def test_a_state_or_an_end_that_is_wrong_is_found(fault: str, found: str) -> None:
    assert found in faults(fault, ("status", "live"))


def test_a_request_without_a_token_and_an_early_end_are_found() -> None:
    found = faults("no token", ("equal", None))
    assert "step 1 (equal): the driver has ended" in found
    assert "a request of kind state" in found
    assert "urllib.error.HTTPError: HTTP Error 401" in found


def test_a_request_before_retry_after_is_over_is_found() -> None:
    answer = {"to": "state", "status": 503, "retryAfter": 2}
    assert "Retry-After was 2" in faults("", ("answer", answer), ("start", None), ("status", "live"))


def test_reports_without_a_pause_and_without_a_key_are_found() -> None:
    many = {"task": "scan", "progress": 0, "to": 20}
    steps = [("task", "scan"), ("progress", many), ("complete", "scan"), ("returned", None)]
    found = faults("", *steps, ("paced", "scan"), role="agent")
    assert "22 RUNNING reports of 'scan' within" in found
    assert "POST /api/v1/agents/A1/progress has no Idempotency-Key" in found


def test_an_end_that_takes_effect_twice_is_found() -> None:
    steps = [("task", "scan"), ("complete", "scan"), ("returned", None)]
    assert "2 reports" in faults("twice", *steps, ("reported_once", {"status": "COMPLETED"}), role="agent")


def test_equal_states_may_differ_in_form_and_not_in_content() -> None:
    room = Room()
    room.change({"report": {"progress": 40}})
    state, held = room.state(), room.state()
    held["agents"][0] |= {"progress": 40, "more": True}
    held["pool"] |= {"total": "1000"}
    del held["agents"][0]["error"]
    assert difference(held, state) is None
    held["agents"][0]["progress"] = 41
    assert difference(held, state).startswith("agents: ")


def test_an_id_that_is_shown_twice_and_counts_that_do_not_fit_are_faults() -> None:
    room = Room()
    room.change({"file": {"id": "V1"}})
    state = room.state()
    state["vulnerabilities"]["open"] *= 2
    found = faults_of([state], may_rewind=False)
    assert "1 vulnerabilities are counted as PENDING, and 2 are shown" in found
    assert "open has an id twice: ['V1', 'V1']" in found


def test_a_case_with_an_unknown_member_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "case.yaml"
    path.write_text("title: A case\nsteps: [equal]\ntransport: sse\n")
    with pytest.raises(CaseError, match=r"case.yaml: unknown members \['transport'\]"):
        load([path])


def test_each_step_of_each_case_exists() -> None:
    unknown = {(case.name, name) for case in load() for name, _ in case.steps if not hasattr(Steps, f"step_{name}")}
    assert unknown == set()


def test_the_readme_lists_each_step_with_its_docstring() -> None:
    steps = {
        name.removeprefix("step_"): getattr(Steps, name).__doc__ for name in dir(Steps) if name.startswith("step_")
    }
    rows = [line.removeprefix("| `").removesuffix(" |").split("` | ") for line in README.read_text().splitlines()]
    listed = {row[0]: row[1] for row in rows if len(row) == 2}
    assert {name: listed.get(name) for name in steps} == steps
