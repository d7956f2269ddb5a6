"""An agent whose process dies, forks or simply ends."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.machine_speed import patience
from tests.support.processes import is_alive, until

from dashboard_realtime import JournalInUse
from scripted_api import LOSE_ANSWER, Refusal, ScriptedApi

BUSY = Refusal(503, "DATABASE_UNAVAILABLE")
BEGIN = """
import os, sys, time
from dashboard_realtime import Agent
from dashboard_realtime.agent import lane
lane.MAX_PAUSE_SECONDS = 0.2
url, token, journal = sys.argv[1:]
agent = Agent(url, token, protocol_id="P1", journal=journal or None, close_timeout=30)
"""
KILLED = "\ntime.sleep(600)"


@pytest.fixture
def run(scripted: ScriptedApi, agent_token: str) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Run this code in a process of its own, after `BEGIN`."""
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str, journal: Path | None = None) -> "subprocess.Popen[bytes]":
        argv = [sys.executable, "-c", BEGIN + code, scripted.url, agent_token, str(journal or "")]
        started.append(subprocess.Popen(argv))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.wait(patience(5))


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "state" / "agent.json"


def tasks_in(journal: Path) -> dict[str, str | None]:
    """The tasks in the journal, with the status of those that are closed."""
    entries = map(json.loads, journal.read_text().splitlines() if journal.exists() else ())
    return {each["task"]: each["terminal"] and each["terminal"]["status"] for each in entries if "task" in each}


def test_a_task_that_was_open_in_a_killed_process_is_failed_by_the_next(scripted, run, make_agent, journal) -> None:
    killed = run("agent.task('Scan').progress(40)" + KILLED, journal)
    until(lambda: tasks_in(journal) == {"Scan": None} and scripted.reports("RUNNING"), 20, "the task is open")
    killed.kill()
    killed.wait(patience(5))
    agent = make_agent(journal=journal)
    until(lambda: not agent.undelivered, 10, "the task was failed")

    (failed,) = scripted.reports("FAILED")
    assert failed.body["task"] == "Scan"
    assert failed.body["error"]["code"] == "AGENT_CRASHED"
    until(lambda: tasks_in(journal) == {}, 5, "the journal is empty again")


def test_what_a_killed_process_could_not_deliver_is_sent_by_the_next(scripted, run, make_agent, journal) -> None:
    scripted.outcome = lambda _: BUSY
    closing = "for name in ('one', 'two'):\n    agent.task(name).complete()\nagent.file('Reentrancy', 'HIGH')"
    killed = run(closing + KILLED, journal)
    until(lambda: tasks_in(journal) == {"one": "COMPLETED", "two": "COMPLETED"}, 20, "the journal has both ends")
    until(lambda: "Reentrancy" in journal.read_text(), 5, "and the finding")
    killed.kill()
    killed.wait(patience(5))
    scripted.outcome = lambda _: None
    agent = make_agent(journal=journal)
    until(lambda: not agent.undelivered, 10, "all was delivered")

    assert scripted.ends() == [("one", "COMPLETED"), ("two", "COMPLETED")]
    assert [call.body["title"] for call in scripted.accepted if "title" in call.body] == ["Reentrancy"]


def test_an_end_that_arrived_before_the_crash_closes_no_second_task(scripted, run, make_agent, journal) -> None:
    scripted.outcome = lambda call: LOSE_ANSWER if call.status == "COMPLETED" else None
    killed = run("agent.task('Scan').complete()" + KILLED, journal)
    until(lambda: scripted.ends() and tasks_in(journal) == {"Scan": "COMPLETED"}, 20, "the end arrived")
    killed.kill()
    killed.wait(patience(5))
    scripted.outcome = lambda _: None
    agent = make_agent(journal=journal)
    until(lambda: not agent.undelivered, 10, "it was delivered again")

    ends = [call for call in scripted.calls if call.status == "COMPLETED"]
    assert len(ends) > 1
    assert len({call.key for call in ends}) == 1


def test_a_process_that_ends_without_closing_its_agent_delivers_first(scripted, run) -> None:
    scripted.script = [None, BUSY, BUSY]
    ended = run("with agent.task('Scan') as task:\n    task.progress(50)\nfinding = agent.file('Reentrancy', 'HIGH')")

    assert ended.wait(patience(60)) == 0
    assert scripted.ends() == [("Scan", "COMPLETED")]
    assert [call.body["title"] for call in scripted.accepted if "title" in call.body] == ["Reentrancy"]


def test_a_fork_reports_for_itself_and_leaves_its_parents_tasks_open(scripted, run, journal) -> None:
    forking = """
with agent.task("Scan") as task:
    time.sleep(0.5)
    child = os.fork()
    if not child:
        task.progress(77)
        time.sleep(0.5)
        task.fail("from the child")
        with agent.task("of the child"):
            pass
        agent.close()
        os._exit(0)
    os.waitpid(child, 0)
    task.progress(90)
    time.sleep(1.2)
"""
    assert run(forking, journal).wait(patience(60)) == 0

    assert scripted.ends() == [("of the child", "COMPLETED"), ("Scan", "COMPLETED")]
    assert {77.0, 90.0} <= {call.body["progress"] for call in scripted.reports("RUNNING")}
    assert tasks_in(journal) == {}


def test_two_agents_cannot_use_one_journal(make_agent, journal) -> None:
    first = make_agent(journal=journal)
    with pytest.raises(JournalInUse, match="give each agent its own"):
        make_agent(journal=journal)
    first.close()
    make_agent(journal=journal)


@pytest.mark.parametrize("content", [b"{", b"\xff\xff", b"[]", b'{"version": 99}\n'])
def test_an_unreadable_journal_is_kept_aside_and_stops_nothing(make_agent, journal, caplog, content) -> None:
    journal.parent.mkdir()
    journal.write_bytes(content)
    agent = make_agent(journal=journal)

    assert "agent.journal_unreadable" in caplog.messages
    assert journal.with_name("agent.json.unreadable").read_bytes() == content
    assert agent.undelivered == []


def test_a_journal_that_cannot_be_written_stops_no_report(scripted, make_agent, journal, caplog) -> None:
    agent = make_agent(journal=journal, close_timeout=30)
    journal.with_name("agent.json.new").mkdir()
    with agent.task("Scan"):
        pass
    agent.close()

    assert scripted.ends() == [("Scan", "COMPLETED")]
    assert "agent.journal_not_written" in caplog.messages
    assert is_alive(os.getpid())
