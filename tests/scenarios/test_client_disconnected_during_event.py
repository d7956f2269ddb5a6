"""Scenario: Client disconnected during event."""

import jwt
import pytest

from tests.factories import deposit
from tests.support.js_client import JsClient
from tests.support.processes import until
from tests.support.stack import Stack

POOL = "bounty_pool:updated"


def wait_for_disconnect(stack: Stack, sid: str) -> None:
    stack.wait_for_log(f"socket.disconnected .*{sid}")


@pytest.mark.parametrize("ending", ["cut", "disconnect"])
def test_an_event_missed_by_a_disconnected_client_is_logged_with_its_token_id(ending, stack, js, protocol_id) -> None:
    token = stack.api.token("viewer", sub="alice", protocols=[protocol_id])
    viewer = js.connect(stack.url, {"token": token, "protocolId": protocol_id})
    token_id = jwt.decode(token, options={"verify_signature": False})["jti"]
    sid = viewer.state["sid"]
    getattr(viewer, ending)()
    wait_for_disconnect(stack, sid)

    deposit(stack.api, protocol_id, "7")

    line = stack.wait_for_log(f"event.undelivered .*{protocol_id}.*")
    assert POOL in line
    assert "seq=1" in line
    assert token_id in line
    assert token not in stack.log


def test_a_missed_event_is_not_resent(stack: Stack, js: JsClient, protocol_id) -> None:
    viewer = stack.watch(js, protocol_id)
    sid = viewer.state["sid"]
    viewer.cut()
    wait_for_disconnect(stack, sid)
    deposit(stack.api, protocol_id, "1")
    stack.wait_for_log(f"event.undelivered .*{protocol_id}")

    viewer.reconnect()
    deposit(stack.api, protocol_id, "2")

    viewer.wait_for_event(POOL, amount="2.00")
    assert [event.payload["seq"] for event in viewer.events()] == ["2"]
    assert len(stack.log_lines("event.undelivered", protocol_id)) == 1


def test_connected_clients_receive_what_a_disconnected_one_misses(stack: Stack, js: JsClient, protocol_id) -> None:
    connected, disconnected = stack.watch(js, protocol_id), stack.watch(js, protocol_id)
    sid = disconnected.state["sid"]
    disconnected.cut()
    wait_for_disconnect(stack, sid)

    deposit(stack.api, protocol_id, "3")

    connected.wait_for_event(POOL, amount="3.00")
    until(lambda: stack.log_lines("event.undelivered", protocol_id), 5, "the missed delivery is logged")
    assert disconnected.events() == []


def test_an_event_for_an_empty_room_is_logged_as_undelivered(stack: Stack, protocol_id) -> None:
    deposit(stack.api, protocol_id, "3")
    stack.wait_for_log(f"event.undelivered .*{protocol_id}")
