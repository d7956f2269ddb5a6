"""Scenario: Client reconnects after missing events."""

from tests.factories import deposit, file_vulnerability, report
from tests.support.js_client import JsClient
from tests.support.stack import Stack

POOL = "bounty_pool:updated"


def state_of(stack: Stack, protocol_id: str) -> dict:
    return stack.api.as_("viewer", protocols=[protocol_id]).get(f"/protocols/{protocol_id}/state").expect(200)


def test_the_snapshot_has_what_was_missed_and_events_continue_from_its_seq(stack, js, protocol_id, agent_id) -> None:
    viewer = stack.watch(js, protocol_id)
    deposit(stack.api, protocol_id, "100")
    viewer.wait_for_event(POOL)
    viewer.cut()
    viewer.wait_for(lambda event: event.name == "$disconnect")

    deposit(stack.api, protocol_id, "23")
    finding = file_vulnerability(stack.api, protocol_id, bounty="50")
    stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, "scan", 64)).expect(202)
    viewer.reconnect()
    state = state_of(stack, protocol_id)
    deposit(stack.api, protocol_id, "1")

    assert (state["pool"]["total"], state["pool"]["reserved"]) == ("123.00", "50.00")
    assert [each["id"] for each in state["vulnerabilities"]["open"]] == [finding["id"]]
    assert [(each["agentId"], each["progress"]) for each in state["agents"]] == [(agent_id, "64")]
    after = viewer.wait_for_event(POOL, amount="1.00")
    assert int(after.payload["seq"]) > int(state["seq"])
    assert int(after.data["version"]) == int(state["pool"]["version"]) + 1


def test_a_gap_in_seq_shows_the_client_that_it_missed_events(stack: Stack, js: JsClient, protocol_id) -> None:
    viewer = stack.watch(js, protocol_id)
    deposit(stack.api, protocol_id, "1")
    viewer.wait_for_event(POOL)
    viewer.cut()
    viewer.wait_for(lambda event: event.name == "$disconnect")
    for _ in range(3):
        deposit(stack.api, protocol_id, "1")

    viewer.reconnect()
    deposit(stack.api, protocol_id, "1")

    viewer.wait_until_count(2)
    assert [event.payload["seq"] for event in viewer.events()] == ["1", "5"]


def test_joining_before_fetching_the_snapshot_misses_nothing(stack, js, protocol_id) -> None:
    for _ in range(8):
        deposit(stack.api, protocol_id, "1")
        viewer = stack.watch(js, protocol_id)
        deposit(stack.api, protocol_id, "1")
        state = state_of(stack, protocol_id)
        deposit(stack.api, protocol_id, "1")
        last = viewer.wait_for_event(POOL, total=state_of(stack, protocol_id)["pool"]["total"])

        newer = [e for e in viewer.events(POOL) if int(e.data["version"]) > int(state["pool"]["version"])]
        assert newer[-1] == last
        versions = [int(state["pool"]["version"]), *(int(event.data["version"]) for event in newer)]
        assert versions == list(range(versions[0], versions[0] + len(versions)))
        viewer.disconnect()


def test_the_official_client_is_in_its_room_after_an_automatic_reconnection(stack, js, protocol_id) -> None:
    viewer = stack.watch(js, protocol_id, reconnection=True, reconnectionDelay=50)
    viewer.cut()
    viewer.wait_for(lambda event: event.name == "$disconnect")
    viewer.client.wait(
        lambda: sum(event.name == "$connect" for event in viewer.received) == 2, 10, "the client has reconnected"
    )

    deposit(stack.api, protocol_id, "4")

    viewer.wait_for_event(POOL, amount="4.00")
