"""An agent's reports: paced, in order, delivered once, and never in the way of the agent's own work."""

import logging
import time

import pytest
from tests.support.machine_speed import slowdown
from tests.support.processes import until

from scripted_api import HANG, LOSE_ANSWER, RESET, Refusal

BUSY = Refusal(503, "DATABASE_UNAVAILABLE")
CALL_SECONDS = 0.005
WAITING_SECONDS = 0.1


def test_a_task_is_told_of_from_its_begin_to_its_end(scripted, make_agent) -> None:
    with make_agent(close_timeout=30) as agent, agent.task("Scan Vault.sol", next_task="Fuzz Pool.sol") as task:
        until(lambda: scripted.reports("RUNNING"), 5, "the task's begin was reported")
        task.progress(40, eta=90)

    first, last = scripted.reports()[0], scripted.reports()[-1]
    assert first.path == "/api/v1/agents/scanner-7/progress", "the agent's id is the token's `sub`"
    assert first.body == {"protocolId": "P1", "task": "Scan Vault.sol", "status": "RUNNING", "progress": 0.0}
    assert last.body == {
        "protocolId": "P1",
        "task": "Scan Vault.sol",
        "status": "COMPLETED",
        "nextTask": "Fuzz Pool.sol",
    }
    assert last.key
    assert first.key is None
    assert agent.undelivered == []


def test_an_exception_fails_the_task_and_goes_on(scripted, make_agent) -> None:
    with make_agent(close_timeout=30) as agent, pytest.raises(TimeoutError), agent.task("Review Oracle.sol"):
        raise TimeoutError("RPC endpoint timed out")

    assert scripted.reports("FAILED")[0].body["error"] == {"code": "TimeoutError", "message": "RPC endpoint timed out"}


def test_running_reports_are_merged_to_one_a_second_and_the_newest_wins(scripted, make_agent) -> None:
    agent = make_agent()
    task = agent.task("Scan")
    began = time.monotonic()
    for percent in range(1, 91):
        task.progress(percent)
        time.sleep(0.02)
    until(lambda: scripted.reports("RUNNING")[-1].body["progress"] == 90, 5, "the newest report arrived")

    seconds = scripted.reports("RUNNING")[-1].at - began
    assert len(scripted.reports("RUNNING")) <= seconds + 2
    assert agent.dropped == 0, "merging is no loss"


def test_reports_of_tasks_at_the_same_time_go_as_one_batch(scripted, make_agent) -> None:
    scripted.script = [BUSY]
    agent = make_agent()
    agent.task("One")
    agent.task("Two").progress(50)
    batch = until(lambda: [c for c in scripted.accepted if c.path == "/api/v1/progress"], 5, "a batch arrived")[0]

    assert [(each["task"], each["agentId"]) for each in batch.body["updates"]] == [
        ("One", "scanner-7"),
        ("Two", "scanner-7"),
    ]


FAULTS = {"503": BUSY, "404 of a proxy": Refusal(404), "reset": RESET, "hang": HANG}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_broken_server_delays_no_call_and_loses_no_end_of_a_task(scripted, make_agent, fault, tmp_path) -> None:
    agent = make_agent(http={"timeout": 0.3}, journal=tmp_path / "journal")
    scripted.outcome = lambda _: fault
    seconds, names = [], [f"task {number}" for number in range(200)]
    for name in names:
        task = agent.task(name)
        for call in (
            lambda t=task: t.progress(10),
            lambda t=task: t.progress(20, eta=60),
            lambda t=task: t.file("Reentrancy", "LOW"),
            task.complete,
        ):
            began = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - began)
        time.sleep(0.005)
    seconds.sort()
    assert seconds[len(seconds) * 99 // 100] < CALL_SECONDS * slowdown()
    assert seconds[-1] < WAITING_SECONDS * slowdown(), "a call that waited for the server would take longer"
    assert scripted.accepted == []
    assert len(agent.undelivered) == 2 * len(names)

    scripted.outcome = lambda _: None
    until(lambda: not agent.undelivered, 30, "everything was delivered")
    assert scripted.ends() == [(name, "COMPLETED") for name in names]
    assert len([call for call in scripted.accepted if call.path.endswith("/vulnerabilities")]) == len(names)
    assert agent.counters.retries > 0
    assert agent.dropped == agent.refused == 0


def test_a_server_that_is_gone_and_comes_back_gets_every_end(agent_token, monkeypatch) -> None:
    from tests.support.processes import free_port

    from dashboard_realtime import Agent
    from dashboard_realtime.agent import lane
    from scripted_api import ScriptedApi

    monkeypatch.setattr(lane, "MAX_PAUSE_SECONDS", 0.2)
    port = free_port()
    with Agent(f"http://127.0.0.1:{port}", agent_token, protocol_id="P1", close_timeout=60) as agent:
        for name in ("one", "two"):
            with agent.task(name):
                pass
        until(lambda: agent.counters.retries > 1, 10, "it has tried")
        with ScriptedApi(port) as api:
            until(lambda: not agent.undelivered, 20, "both ends were delivered")
            assert api.ends() == [("one", "COMPLETED"), ("two", "COMPLETED")]


def test_an_end_whose_response_is_lost_is_sent_again_under_its_key(scripted, make_agent) -> None:
    scripted.outcome = lambda call: LOSE_ANSWER if call.status == "COMPLETED" and len(sent(call)) < 3 else None

    def sent(call) -> list:
        return [each for each in scripted.calls if each.key == call.key]

    with make_agent(close_timeout=30) as agent, agent.task("Scan"):
        pass

    ends = [call for call in scripted.calls if call.status == "COMPLETED"]
    assert len(ends) == 3
    assert len({call.key for call in ends}) == 1
    assert agent.undelivered == []


def test_retry_after_is_respected(scripted, make_agent) -> None:
    scripted.script = [Refusal(429, "RATE_LIMITED", retry_after="2")]
    make_agent().task("Scan")
    until(lambda: len(scripted.calls) == 2, 10, "it was sent again")

    assert scripted.calls[1].at - scripted.calls[0].at >= 1.9


@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_a_permanent_refusal_is_logged_counted_and_holds_up_nothing(scripted, make_agent, caplog, status) -> None:
    refusal = Refusal(status, "REFUSED_FOR_GOOD")
    scripted.outcome = lambda call: refusal if call.body["task"] == "bad" else None
    with caplog.at_level(logging.ERROR, "dashboard_realtime"), make_agent(close_timeout=30) as agent:
        for name in ("bad", "good"):
            with agent.task(name):
                pass

    assert scripted.ends() == [("good", "COMPLETED")]
    assert len([call for call in scripted.calls if call.body["task"] == "bad" and call.status == "COMPLETED"]) == 1
    assert agent.refused >= 1
    assert any("REFUSED_FOR_GOOD" in record.reason for record in caplog.records)


def test_an_expired_token_is_replaced_by_the_one_of_the_function(scripted, make_agent, agent_token) -> None:
    asked = []
    scripted.script = [Refusal(401, "TOKEN_EXPIRED"), Refusal(401, "TOKEN_EXPIRED")]

    async def token() -> str:
        asked.append(1)
        return agent_token

    with make_agent(token=token, close_timeout=30) as agent, agent.task("Scan"):
        pass

    assert scripted.ends() == [("Scan", "COMPLETED")]
    assert agent.refused == 0
    assert len(asked) > 2


def test_tasks_beyond_the_limit_are_dropped_whole_counted_and_logged(scripted, make_agent, caplog) -> None:
    scripted.outcome = lambda _: BUSY
    agent = make_agent(max_tasks=2)
    for name in ("one", "two", "three"):
        with agent.task(name) as task:
            task.progress(50)
    assert agent.dropped == 1
    assert [record.task for record in caplog.records if record.message == "agent.task_dropped"] == ["three"]

    scripted.outcome = lambda _: None
    until(lambda: not agent.undelivered, 10, "the others were delivered")
    assert scripted.ends() == [("one", "COMPLETED"), ("two", "COMPLETED")]
    assert not [call for call in scripted.calls if call.body.get("task") == "three"]


@pytest.mark.parametrize("percent", ["half", None, float("nan"), object()])
def test_a_report_that_makes_no_sense_is_dropped_and_breaks_nothing(scripted, make_agent, percent) -> None:
    with make_agent(close_timeout=30) as agent, agent.task("Scan") as task:
        task.progress(percent)
        task.progress(1000, eta="tomorrow")
        task.progress(-5)

    assert agent.dropped == 2
    assert scripted.ends() == [("Scan", "COMPLETED")]


def test_close_has_a_deadline_and_says_what_is_left(scripted, make_agent, caplog) -> None:
    scripted.outcome = lambda _: BUSY
    agent = make_agent()
    with agent.task("Scan"):
        finding = agent.file("Reentrancy", "HIGH")
    began = time.monotonic()

    assert agent.close(0.5) == ["Scan: COMPLETED", "finding: Reentrancy"]
    assert time.monotonic() - began < 3 * slowdown()
    assert "agent.closed_with_undelivered" in caplog.messages
    with pytest.raises(Exception, match="closed before"):
        finding.result(5)


def test_a_task_that_is_open_when_the_agent_ends_is_failed(scripted, make_agent) -> None:
    agent = make_agent(close_timeout=30)
    agent.task("Scan")
    agent.close()

    assert scripted.ends() == [("Scan", "FAILED")]
    assert scripted.reports("FAILED")[0].body["error"]["code"] == "AGENT_CLOSED"
    agent.task("too late").complete()
    assert agent.dropped == 1


def test_the_token_is_in_no_log_and_no_repr(scripted, make_agent, agent_token, caplog) -> None:
    scripted.outcome = lambda _: Refusal(401, "UNAUTHORIZED")
    with caplog.at_level(logging.DEBUG), make_agent() as agent:
        with agent.task("Scan") as task:
            agent.file("Reentrancy", "HIGH")
        seen = repr((agent, task, agent.__dict__))

    assert "agent.report_refused: 401 UNAUTHORIZED" in caplog.text
    assert agent_token not in seen + caplog.text
