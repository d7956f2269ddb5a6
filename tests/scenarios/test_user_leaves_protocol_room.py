"""Scenario: User leaves protocol room."""

from app.realtime.redis_keys import channel_of
from tests.factories import deposit, make_protocol
from tests.support.js_client import JsClient
from tests.support.processes import until
from tests.support.stack import Stack

POOL = "bounty_pool:updated"


def subscribers(stack: Stack, protocol_id: str) -> int:
    """How many web processes are subscribed to the room's channel: none if it has no members."""
    with stack.redis() as client:
        return client.pubsub_shardnumsub(channel_of(protocol_id))[0][1]


def test_switching_to_another_protocol_leaves_the_previous_room(stack: Stack, js: JsClient, protocol_id) -> None:
    other = make_protocol(stack.api)
    mover = js.connect(stack.url, {"token": stack.api.token("viewer"), "protocolId": protocol_id})
    stayer = stack.watch(js, protocol_id)

    mover.join(other)
    deposit(stack.api, protocol_id, "1")
    deposit(stack.api, other, "2")

    stayer.wait_for_event(POOL, amount="1.00")
    mover.wait_for_event(POOL, amount="2.00")
    assert [event.payload["protocolId"] for event in mover.events()] == [other]


def test_after_leaving_no_event_of_the_room_arrives(stack: Stack, js: JsClient, protocol_id) -> None:
    other = make_protocol(stack.api)
    leaver = js.connect(stack.url, {"token": stack.api.token("viewer"), "protocolId": protocol_id})
    stayer = stack.watch(js, protocol_id)

    leaver.leave()
    deposit(stack.api, protocol_id, "1")
    stayer.wait_for_event(POOL)
    leaver.join(other)
    deposit(stack.api, other, "2")

    leaver.wait_for_event(POOL, amount="2.00")
    assert len(leaver.events()) == 1


def test_leaving_and_joining_are_idempotent(stack: Stack, js: JsClient, protocol_id) -> None:
    viewer = stack.watch(js, protocol_id)
    viewer.leave()
    viewer.leave()
    viewer.join(protocol_id)
    viewer.join(protocol_id)

    deposit(stack.api, protocol_id, "1")
    deposit(stack.api, protocol_id, "2")

    assert [event.data["amount"] for event in viewer.wait_until_count(2)] == ["1.00", "2.00"]


def test_a_disconnected_client_leaves_its_room(stack: Stack, js: JsClient, protocol_id) -> None:
    for ending in ("disconnect", "cut"):
        viewer = stack.watch(js, protocol_id)
        assert subscribers(stack, protocol_id) == 1
        getattr(viewer, ending)()
        until(lambda: subscribers(stack, protocol_id) == 0, 5, f"the room is empty after {ending}")
