"""Scenario: Event emission failure."""

import pytest

from tests.factories import deposit, make_agent, make_protocol, report
from tests.support.js_client import JsClient
from tests.support.processes import until
from tests.support.stack import Stack, StackMaker

POOL = "bounty_pool:updated"


@pytest.fixture(scope="module")
def own_stack(make_shared_stack: StackMaker) -> Stack:
    return make_shared_stack()


@pytest.fixture
def broken(own_stack: Stack) -> Stack:
    """A system that the tests of this file break; it works again when a test begins."""
    own_stack.wait_until_whole()
    return own_stack


@pytest.mark.slow
def test_an_event_that_cannot_be_emitted_is_logged_in_full_and_delivered_after_the_outage(broken, js: JsClient) -> None:
    protocol_id = make_protocol(broken.api)
    viewer = broken.watch(js, protocol_id)
    deposit(broken.api, protocol_id, "1")
    viewer.wait_for_event(POOL, amount="1.00")

    broken.freeze("redis")
    stored = deposit(broken.api, protocol_id, "41.5", reference="during the outage")
    line = broken.wait_for_log(f"event.emission_failed .*{protocol_id}")
    broken.thaw("redis")

    assert " ERROR " in line
    for detail in (POOL, '"amount":"41.50"', '"reference":"during the outage"', '"version":"2"'):
        assert detail in line
    assert stored["pool"]["total"] == "42.50"
    state = broken.api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)
    assert state["pool"]["total"] == "42.50"
    viewer.wait_for_event(POOL, 20, total="42.50")


@pytest.mark.slow
def test_during_a_redis_outage_a_report_is_rejected_with_503_and_the_process_stays_healthy(broken: Stack) -> None:
    protocol_id, agent_id = make_protocol(broken.api), make_agent(broken.api)
    agent, path = broken.api.agent(agent_id), f"/agents/{agent_id}/progress"

    broken.freeze("redis")
    answer = agent.post(path, report(protocol_id))
    health = broken.api.with_token(None).get("//healthz")
    ready = broken.api.with_token(None).get("//readyz")
    broken.thaw("redis")

    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.code.endswith("UNAVAILABLE")
    assert health.status == 200
    assert (ready.status, ready.json["parts"]["redis"]) == (503, "down")
    until(lambda: agent.post(path, report(protocol_id)).status == 202, 15, "reports are accepted again")
