"""Malformed events, expiring tokens, other origins and slow clients do not affect other connections."""

import time

import pytest

from tests.factories import deposit
from tests.support.js_client import JsClient, JsSocket, RefusedError
from tests.support.processes import is_alive, until
from tests.support.stack import Stack

POOL = "bounty_pool:updated"
MALFORMED = {
    "no argument": [],
    "null": [None],
    "a number": [5],
    "a list": [[]],
    "text": ["P1"],
    "no id": [{}],
    "id is an object": [{"protocolId": {"$ne": None}}],
    "id is too long": [{"protocolId": "x" * 10_000}],
    "too many arguments": [{"protocolId": "P1"}, 2, 3],
    "nested deeply": [{"protocolId": [[[[[[[[[[]]]]]]]]]]}],
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_join_gets_an_error_ack_and_changes_nothing(what, stack: Stack, js: JsClient, protocol_id) -> None:
    viewer = stack.watch(js, protocol_id)

    ack = viewer.emit("protocol:join", *MALFORMED[what])

    assert ack["ok"] is False
    assert ack["error"]["code"].isupper()
    assert ack["error"]["detail"]
    deposit(stack.api, protocol_id, "1")
    viewer.wait_for_event(POOL)


@pytest.mark.parametrize("event", ["protocol:destroy", "", "x" * 1000, "agent:task_update", "*", "bounty_pool:updated"])
def test_an_unknown_client_event_gets_an_error_ack_and_reaches_nobody(event, stack, js, protocol_id) -> None:
    sender, other = stack.watch(js, protocol_id), stack.watch(js, protocol_id)

    ack = sender.emit(event, {"data": "forged"})

    assert ack["ok"] is False
    assert ack["error"]["code"] == "UNKNOWN_EVENT"
    deposit(stack.api, protocol_id, "1")
    other.wait_for_event(POOL)
    assert [each.name for each in other.events()] == [POOL]


def test_malformed_events_without_an_ack_leave_the_process_running(stack: Stack, js: JsClient, protocol_id) -> None:
    viewer, web = stack.watch(js, protocol_id), stack.pid("web-1")
    for arguments in MALFORMED.values():
        viewer.send("protocol:join", *arguments)
    viewer.join(protocol_id)
    assert is_alive(web)


def test_an_expired_token_ends_the_connection_with_session_expired(stack: Stack, js: JsClient, protocol_id) -> None:
    token = stack.api.token("viewer", protocols=[protocol_id], ttl=3)
    viewer = js.connect(stack.url, {"token": token, "protocolId": protocol_id})

    viewer.wait_for(lambda event: event.name == "session:expired", 60)
    viewer.wait_for(lambda event: event.name == "$disconnect", 10)

    assert until(lambda: refusal_of(viewer), 15, "it is refused, once the clocks' leeway is over") == "UNAUTHORIZED"


def refusal_of(viewer: JsSocket) -> str | None:
    try:
        viewer.reconnect()
    except RefusedError as refusal:
        return refusal.message
    viewer.disconnect()
    return None


def test_more_than_50_events_a_second_are_refused_for_that_client_only(stack, js, protocol_id) -> None:
    eager, calm = stack.watch(js, protocol_id), stack.watch(js, protocol_id)
    answers = []
    end = time.monotonic() + 10
    while time.monotonic() < end and not any(not ack["ok"] for ack in answers):
        for _ in range(50):
            eager.send("protocol:leave")
        answers.append(eager.emit("protocol:leave"))
    refusals = [ack for ack in answers if not ack["ok"]]

    assert refusals
    assert refusals[0]["error"]["code"] == "RATE_LIMITED"
    assert calm.emit("protocol:join", {"protocolId": protocol_id})["ok"]


def test_a_page_of_another_origin_cannot_connect(stack: Stack, js: JsClient) -> None:
    auth = {"token": stack.api.token("viewer")}
    with pytest.raises(RefusedError):
        js.connect(stack.url, auth, extraHeaders={"Origin": "https://evil.example"})
    assert js.connect(stack.url, auth, extraHeaders={"Origin": stack.url}).state["connected"]


def test_headers_of_an_untrusted_proxy_do_not_change_the_own_origin(stack: Stack) -> None:
    foreign = {"Origin": "http://evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}

    answer = stack.api.transport.send("GET", "/socket.io/?EIO=4&transport=polling", None, foreign)

    assert answer.status == 400
    assert "access-control-allow-origin" not in answer.headers


def test_a_client_that_does_not_read_delays_no_other(stack: Stack, js: JsClient, protocol_id) -> None:
    stuck, reader = stack.watch(js, protocol_id), stack.watch(js, protocol_id)
    stuck.pause()
    for number in range(1, 9):
        deposit(stack.api, protocol_id, "1")
        reader.wait_for_event(POOL, total=f"{number}.00")
    assert stuck.events() == []

    stuck.resume()

    stuck.wait_for_event(POOL, total="8.00")
    assert [event.payload["seq"] for event in stuck.events()] == [str(n) for n in range(1, 9)]


def test_closed_connections_are_no_longer_counted(stack: Stack, js: JsClient, protocol_id) -> None:
    before = stack.metric("dashboard_sockets")
    watchers = [stack.watch(js, protocol_id) for _ in range(150)]
    assert stack.metric("dashboard_sockets") >= 150
    deposit(stack.api, protocol_id, "1")
    for watcher in watchers:
        watcher.wait_for_event(POOL)
        watcher.cut()

    until(lambda: stack.metric("dashboard_sockets") <= before, 15, "all of them are forgotten")
