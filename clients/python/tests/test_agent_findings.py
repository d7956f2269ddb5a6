"""An agent's findings: filed in the background, once each."""

import asyncio
import time
from decimal import Decimal

import pytest
from tests.support.coroutines import run_in_thread
from tests.support.machine_speed import slowdown
from tests.support.processes import until

from dashboard_realtime import ApiError, AsyncAgent, NotAccepted
from scripted_api import HANG, LOSE_ANSWER, Refusal

BUSY = Refusal(503, "DATABASE_UNAVAILABLE")


def filings(scripted) -> list:
    return [call for call in scripted.calls if call.path.endswith("/vulnerabilities")]


def test_a_finding_is_filed_once_although_responses_are_lost(scripted, make_agent) -> None:
    faults = [LOSE_ANSWER, BUSY]
    scripted.outcome = lambda call: faults.pop(0) if call.path.endswith("/vulnerabilities") and faults else None
    agent = make_agent()
    finding = agent.file("Reentrancy in withdraw()", "CRITICAL", bounty=Decimal("2500.00"), description="…")

    assert finding.result(20)["status"] == "PENDING"
    assert len({call.key for call in filings(scripted)}) == 1
    assert len(filings(scripted)) == 3
    assert filings(scripted)[0].path == "/api/v1/protocols/P1/vulnerabilities"
    assert filings(scripted)[0].body == {
        "title": "Reentrancy in withdraw()", "severity": "CRITICAL", "bounty": "2500.00", "description": "…",
    }  # fmt: skip


def test_filing_does_not_wait_for_the_server(scripted, make_agent) -> None:
    scripted.outcome = lambda _: HANG
    agent = make_agent()
    began = time.perf_counter()
    agent.file("Reentrancy", "HIGH")

    assert time.perf_counter() - began < 0.005 * slowdown()


def test_a_refused_finding_raises_for_who_asks(scripted, make_agent, caplog) -> None:
    scripted.outcome = lambda _: Refusal(409, "INSUFFICIENT_FUNDS")
    agent = make_agent()
    with pytest.raises(ApiError) as refused:
        agent.file("Reentrancy", "HIGH", bounty="10").result(10)

    assert (refused.value.code, refused.value.status, refused.value.request_id) == ("INSUFFICIENT_FUNDS", 409, "r1")
    assert agent.refused == 1
    assert "agent.finding_refused: 409 INSUFFICIENT_FUNDS" in caplog.text


def test_findings_that_cannot_be_sent_are_counted(scripted, make_agent) -> None:
    scripted.outcome = lambda _: BUSY
    agent = make_agent(max_findings=1)
    agent.file("one", "LOW")
    with pytest.raises(NotAccepted, match="waiting"):
        agent.file("two", "LOW").result(5)
    with pytest.raises(NotAccepted, match="float"):
        agent.file("three", "LOW", bounty=0.1).result(5)

    assert agent.dropped == 2


def test_a_cancelled_finding_is_not_sent(scripted, make_agent) -> None:
    scripted.outcome = lambda _: BUSY
    agent = make_agent()
    agent.file("first", "LOW")
    second = agent.file("second", "LOW")
    assert second.cancel()
    scripted.outcome = lambda _: None
    until(lambda: not agent.undelivered, 10, "nothing waits")

    assert {call.body["title"] for call in filings(scripted)} == {"first"}


def test_an_async_agent_reports_and_awaits_a_finding(scripted, agent_token) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()

        async def token() -> str:
            assert asyncio.get_running_loop() is loop, "the token's function runs in the agent's loop"
            return agent_token

        async with AsyncAgent(scripted.url, token, protocol_id="P1", close_timeout=30) as agent:
            async with agent.task("Scan") as task:
                task.progress(50)
                assert (await task.file("Reentrancy", "HIGH"))["id"] == "v1"
            with pytest.raises(ZeroDivisionError):
                async with agent.task("Divide"):
                    1 / 0  # noqa: B018 - the exception is the point

    run_in_thread(work())
    assert scripted.ends() == [("Scan", "COMPLETED"), ("Divide", "FAILED")]
