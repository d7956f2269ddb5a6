"""Scenario: Client disconnected during event."""

import jwt
import pytest

from tests.factories import deposit
from tests.support.js_client import JsClient
from tests.support.processes import until
from tests.support.stack import Stack

POOL = "bounty_pool:updated"


def gone_from(stack: Stack, sid: str) -> None:
    stack.wait_for_log(f"socket.disconnected .*{sid}")


@pytest.mark.parametrize("goodbye", ["cut", "disconnect"])
def test_an_event_for_an_absent_client_is_logged_with_who_missed_it(goodbye, stack, js, protocol_id) -> None:
    token = stack.api.token("viewer", sub="alice", protocols=[protocol_id])
    viewer = js.connect(stack.url, {"token": token, "protocolId": protocol_id})
    token_id = jwt.decode(token, options={"verify_signature": False})["jti"]
    sid = viewer.state["sid"]
    getattr(viewer, goodbye)()
    gone_from(stack, sid)

    deposit(stack.api, protocol_id, "7")

    line = stack.wait_for_log(f"event.undelivered .*{protocol_id}.*")
    assert POOL in line
    assert "seq=1" in line
    assert token_id in line
    assert token not in stack.log


def test_a_missed_event_is_not_sent_again(stack: Stack, js: JsClient, protocol_id) -> None:
    viewer = stack.watch(js, protocol_id)
    sid = viewer.state["sid"]
    viewer.cut()
    gone_from(stack, sid)
    deposit(stack.api, protocol_id, "1")
    stack.wait_for_log(f"event.undelivered .*{protocol_id}")

    viewer.reconnect()
    deposit(stack.api, protocol_id, "2")

    viewer.wait_for_event(POOL, amount="2.00")
    assert [event.payload["seq"] for event in viewer.events()] == ["2"]
    assert len(stack.log_lines("event.undelivered", protocol_id)) == 1


def test_those_who_stay_get_what_the_absent_one_misses(stack: Stack, js: JsClient, protocol_id) -> None:
    stayer, leaver = stack.watch(js, protocol_id), stack.watch(js, protocol_id)
    sid = leaver.state["sid"]
    leaver.cut()
    gone_from(stack, sid)

    deposit(stack.api, protocol_id, "3")

    stayer.wait_for_event(POOL, amount="3.00")
    until(lambda: stack.log_lines("event.undelivered", protocol_id), 5, "the absence is logged")
    assert leaver.events() == []


def test_a_room_nobody_watches_costs_no_delivery_and_is_logged(stack: Stack, protocol_id) -> None:
    deposit(stack.api, protocol_id, "3")
    stack.wait_for_log(f"event.undelivered .*{protocol_id}")
