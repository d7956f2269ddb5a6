"""Scenario: Event broadcast to protocol room."""

from tests.factories import deposit, make_agent, make_protocol, report
from tests.support.js_client import JsClient
from tests.support.stack import Stack

POOL = "bounty_pool:updated"


def test_an_event_reaches_each_client_in_the_room_once_and_no_other(stack: Stack, js: JsClient, protocol_id) -> None:
    other = make_protocol(stack.api)
    insiders = [stack.watch(js, protocol_id) for _ in range(5)]
    outsider = stack.watch(js, other)
    roomless = js.connect(stack.url, {"token": stack.api.token("admin")})

    deposit(stack.api, protocol_id, "10")
    deposit(stack.api, other, "20")

    outsider.wait_for_event(POOL, amount="20.00")
    for insider in insiders:
        insider.wait_for_event(POOL, amount="10.00")
    assert [event.payload["protocolId"] for event in outsider.events()] == [other]
    assert [len(insider.events()) for insider in insiders] == [1] * 5
    assert roomless.events() == []


def test_every_type_of_event_stays_in_its_room(stack: Stack, js: JsClient, protocol_id) -> None:
    other = make_protocol(stack.api)
    insider, outsider = stack.watch(js, protocol_id), stack.watch(js, other)
    agent_id = make_agent(stack.api)
    stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id)).expect(202)
    filed = stack.api.validator.post(
        f"/protocols/{protocol_id}/vulnerabilities", {"title": "Overflow", "severity": "LOW"}
    ).expect(201)
    stack.api.validator.post(f"/vulnerabilities/{filed['id']}/confirm", {}).expect(200)
    deposit(stack.api, protocol_id, "1")

    for name in ("agent:task_update", "vuln:status_changed", POOL):
        insider.wait_for(lambda event, name=name: event.name == name)
    deposit(stack.api, other, "2")
    outsider.wait_for_event(POOL)

    assert [event.name for event in outsider.events()] == [POOL]


def test_updates_of_one_agent_go_only_to_the_room_of_each_protocol(stack, js, protocol_id) -> None:
    other = make_protocol(stack.api)
    first, second = stack.watch(js, protocol_id), stack.watch(js, other)
    agent_id = make_agent(stack.api)
    agent, path = stack.api.agent(agent_id), f"/agents/{agent_id}/progress"

    agent.post(path, report(protocol_id, "secret of the first", status="COMPLETED")).expect(202)
    agent.post(path, report(other, "secret of the second", status="COMPLETED")).expect(202)

    first.wait_for_event("agent:task_update", task="secret of the first")
    second.wait_for_event("agent:task_update", task="secret of the second")
    assert [event.data["task"] for event in first.events()] == ["secret of the first"]
    assert [event.data["task"] for event in second.events()] == ["secret of the second"]
