"""Overlapping joins leave a connection in one room, and many clients can join at once."""

import pytest

from tests.factories import deposit, make_protocol
from tests.support.js_client import JsClient, JsSocket
from tests.support.stack import Stack

POOL = "bounty_pool:updated"
CROWD = 250


def rooms_heard(stack: Stack, viewer: JsSocket, protocol_ids: list[str]) -> list[str]:
    """The protocols whose events reach the viewer."""
    for each in protocol_ids:
        deposit(stack.api, each, "1")
    witness = viewer.client.connect(stack.url, {"token": stack.api.token("viewer"), "protocolId": protocol_ids[-1]})
    deposit(stack.api, protocol_ids[-1], "1")
    witness.wait_for_event(POOL)
    return list(dict.fromkeys(event.payload["protocolId"] for event in viewer.events(POOL)))


@pytest.mark.parametrize("count", [2, 6])
def test_the_last_of_overlapping_joins_wins(stack: Stack, js: JsClient, count: int) -> None:
    protocol_ids = [make_protocol(stack.api) for _ in range(count)]
    viewer = js.connect(stack.url, {"token": stack.api.token("viewer")})

    for each in protocol_ids:
        viewer.send("protocol:join", {"protocolId": each})
    viewer.emit("protocol:unknown")  # answered when all of them are

    assert rooms_heard(stack, viewer, protocol_ids) == protocol_ids[-1:]


def test_a_leave_directly_after_a_join_leaves_the_room(stack: Stack, js: JsClient) -> None:
    protocol_id = make_protocol(stack.api)
    viewer = js.connect(stack.url, {"token": stack.api.token("viewer")})

    viewer.send("protocol:join", {"protocolId": protocol_id})
    viewer.leave()

    assert rooms_heard(stack, viewer, [protocol_id]) == []


@pytest.mark.slow
def test_250_clients_that_join_at_once_all_succeed(stack: Stack, js: JsClient) -> None:
    protocol_id = make_protocol(stack.api)
    auth = {"token": stack.api.token("viewer"), "protocolId": protocol_id}

    crowd = js.connect_all(stack.url, CROWD, auth)

    deposit(stack.api, protocol_id, "1")
    for each in crowd:
        each.wait_for_event(POOL)
    answers = js.emit_all(crowd, "protocol:join", {"protocolId": make_protocol(stack.api)})
    assert [answer["ok"] for answer in answers] == [True] * CROWD
    for each in crowd:
        each.disconnect()
