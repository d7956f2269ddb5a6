"""Scenario: User joins protocol room."""

import pytest

from tests.factories import deposit, make_protocol
from tests.support.js_client import JsClient, RefusedError
from tests.support.stack import Stack


def test_a_client_that_connects_with_a_protocol_is_in_its_room_at_once(stack, js, protocol_id) -> None:
    for number in range(1, 6):
        viewer = stack.watch(js, protocol_id)
        deposit(stack.api, protocol_id, f"{number}.00")
        assert viewer.wait_for_event("bounty_pool:updated").data["amount"] == f"{number}.00"
        viewer.disconnect()


def test_a_join_is_acknowledged_with_room_seq_and_state_url(stack: Stack, js: JsClient, protocol_id) -> None:
    deposit(stack.api, protocol_id, "5")
    viewer = js.connect(stack.url, {"token": stack.api.token("viewer")})

    ack = viewer.join(protocol_id)

    assert (ack["room"], ack["protocolId"], ack["seq"]) == (f"protocol:{protocol_id}", protocol_id, "1")
    state = stack.api.viewer.call("GET", "/" + ack["stateUrl"]).expect(200)
    assert state["protocol"]["id"] == protocol_id
    deposit(stack.api, protocol_id, "6")
    assert viewer.wait_for_event("bounty_pool:updated").payload["seq"] == "2"


@pytest.mark.parametrize("protocol_id", ["never-made", "../x", "", 5, {"a": 1}, "P" * 65])
def test_an_invalid_protocol_rejects_the_connection(protocol_id, stack: Stack, js: JsClient) -> None:
    with pytest.raises(RefusedError) as refusal:
        js.connect(stack.url, {"token": stack.api.token("viewer"), "protocolId": protocol_id})

    assert refusal.value.message == "INVALID_PROTOCOL"
    assert refusal.value.data["code"] == "INVALID_PROTOCOL"
    assert refusal.value.data["detail"]


def test_a_protocol_without_a_grant_is_rejected_like_one_that_does_not_exist(stack, js, protocol_id) -> None:
    refusals = []
    for wanted in (protocol_id, "never-made"):
        token = stack.api.token("owner", protocols=["other"])
        with pytest.raises(RefusedError) as refusal:
            js.connect(stack.url, {"token": token, "protocolId": wanted})
        refusals.append((refusal.value.message, refusal.value.data))

    assert refusals[0] == refusals[1]


@pytest.mark.parametrize("auth", [{}, {"token": ""}, {"token": "x.y.z"}, {"token": None}, {"token": 5}])
def test_without_a_valid_token_the_connection_is_rejected(auth, stack: Stack, js: JsClient) -> None:
    with pytest.raises(RefusedError) as refusal:
        js.connect(stack.url, auth)
    assert refusal.value.message == refusal.value.data["code"] == "UNAUTHORIZED"


def test_a_rejected_join_gives_the_reason_and_leaves_the_client_in_its_room(stack, js, protocol_id) -> None:
    other = make_protocol(stack.api)
    viewer = stack.watch(js, protocol_id)

    for wanted in (other, "never-made", None, 7):
        ack = viewer.emit("protocol:join", {"protocolId": wanted})
        assert ack["ok"] is False
        assert ack["error"]["code"] == "INVALID_PROTOCOL"
        assert ack["error"]["detail"]

    deposit(stack.api, protocol_id, "3")
    assert viewer.wait_for_event("bounty_pool:updated").payload["protocolId"] == protocol_id


def test_every_role_may_join_over_websocket_and_polling(stack: Stack, js: JsClient, protocol_id) -> None:
    roles = ["agent", "viewer", "validator", "owner", "admin"]
    watchers = [stack.watch(js, protocol_id, role) for role in roles]
    watchers.append(stack.watch(js, protocol_id, transports=["polling"]))
    watchers.append(stack.watch(js, protocol_id, transports=["polling", "websocket"]))

    deposit(stack.api, protocol_id, "9")

    for watcher in watchers:
        watcher.wait_for_event("bounty_pool:updated", amount="9.00")
