"""A stream shows what a Socket.IO client in the same room sees, to the same callers and for as long."""

import http.client
import json
import re
import socket
import time

import pytest

from app.http.responses import HEADERS
from app.realtime.redis_keys import room_key
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.support.event_stream import StreamReader
from tests.support.js_client import JsClient
from tests.support.machine_speed import slowdown
from tests.support.processes import until
from tests.support.stack import Stack

POOL = "bounty_pool:updated"
LEEWAY_SECONDS = 5
STREAM = "text/event-stream"


def open_stream(stack: Stack, protocol_id: str, role: str = "viewer", **claims) -> StreamReader:
    return StreamReader(stack.port, protocol_id, stack.api.token(role, **claims))


def soon() -> float:
    """How long a token lives that the server accepts for some more seconds, because clocks differ."""
    return 2 * slowdown() - LEEWAY_SECONDS


def ticket_for(stack: Stack, protocol_id: str, **claims) -> str:
    return stack.api.as_("viewer", **claims).post(f"/protocols/{protocol_id}/stream-tickets").expect(201)["ticket"]


def with_ticket(stack: Stack, protocol_id: str, ticket: str) -> StreamReader:
    return StreamReader(stack.port, protocol_id, query=f"?ticket={ticket}")


def test_a_stream_begins_with_the_state_and_goes_on_with_the_events_of_socket_io(stack: Stack, js: JsClient) -> None:
    protocol_id, agent_id = make_protocol(stack.api, name="Ünïcode 🏦"), make_agent(stack.api)
    deposit(stack.api, protocol_id, "5000")
    watcher = stack.watch(js, protocol_id)
    with open_stream(stack, protocol_id, protocols=[protocol_id]) as stream:
        assert {name: stream.response.headers[name] for name in HEADERS} == HEADERS
        assert stream.response.headers["Content-Type"] == STREAM
        assert stream.response.headers["Cache-Control"] == "no-store"
        assert stream.response.headers["X-Accel-Buffering"] == "no"
        assert stream.response.headers["Content-Encoding"] is None
        first = stream.next()
        shown = stack.api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)
        assert (first.name, first.id) == ("state", shown["seq"])
        assert first.payload | {"asOf": ""} == shown | {"asOf": ""}

        agent = stack.api.agent(agent_id)
        agent.post(f"/agents/{agent_id}/progress", report(protocol_id, task="Fuzzing 日本")).expect(202)
        failed = report(
            protocol_id, task="Fuzzing 日本", status="FAILED", error="line\r\nbreak\u2028\n\nevent: forged\n\n"
        )
        agent.post(f"/agents/{agent_id}/progress", failed).expect(202)
        found = file_vulnerability(stack.api, protocol_id, bounty="10", description="id: 1\n\ndata: x\r\n")
        stack.api.validator.post(f"/vulnerabilities/{found['id']}/reject", {"reason": "no\n\n:\n"}).expect(200)

        watcher.wait_for_event("agent:task_update", status="FAILED")
        deposit(stack.api, protocol_id, "1", reference="last")
        watcher.wait_for_event(POOL, reference="last")
        expected = [each for each in watcher.events() if each.payload["seq"] > first.id]
        received = [stream.next() for _ in expected]
    assert [each.name for each in received] == [each.name for each in expected]
    assert [each.payload for each in received] == [each.payload for each in expected]
    assert [each.id for each in received] == [each.payload["seq"] for each in expected]
    assert all(json.dumps(each.payload, separators=(",", ":"), ensure_ascii=False) == each.text for each in received)


def test_batches_of_agents_are_streamed_to_callers_who_ask_for_them(stack: Stack) -> None:
    protocol_id, agent_id = make_protocol(stack.api), make_agent(stack.api)
    query = "?agentBatches=true"
    with StreamReader(stack.port, protocol_id, stack.api.token("viewer"), query) as stream:
        assert stream.next().name == "state"
        stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id)).expect(202)
        assert stream.next().name == "agent:task_updates"


def test_a_missing_number_brings_the_state_again(stack: Stack) -> None:
    protocol_id = make_protocol(stack.api)
    with open_stream(stack, protocol_id) as stream, open_stream(stack, protocol_id) as other:
        for each in (stream, other):
            assert each.next().id == "0"
        deposit(stack.api, protocol_id, "1")
        with stack.redis() as client:
            client.hincrby(room_key(protocol_id, "state"), "seq", 5)  # as if five were dropped from the queue
        deposit(stack.api, protocol_id, "2")
        for each in (stream, other):
            assert each.next().id == "1"
            again = each.next()
            assert (again.name, again.id, again.payload["pool"]["total"]) == ("state", "7", "3.00")
        deposit(stack.api, protocol_id, "4")
        assert [(each.name, each.id) for each in (stream.next(), other.next())] == [(POOL, "8")] * 2
    assert stack.metric("dashboard_stream_states_total", cause="gap") >= 2


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 406),
        ("text/event-stream;q=0, */*", 406),
        ("text/html, application/*;q=0.9", 406),
        ("text/event-stream" + "," * 600, 406),
        ("text/event-stream", 200),
        ("application/json, text/event-stream;q=0.1", 200),
        ("text/*", 200),
        ("*/*", 200),
        ("", 200),
    ],
)
def test_a_stream_is_sent_to_callers_that_accept_one(accept: str, status: int, stack: Stack, protocol_id: str) -> None:
    names = {"Accept": accept} if accept else {}
    with StreamReader(stack.port, protocol_id, stack.api.token("viewer"), **names) as stream:
        assert stream.status == status
        assert stream.code == "NOT_ACCEPTABLE" if status == 406 else stream.next().name == "state"


def test_who_may_not_read_the_room_gets_no_stream_and_no_ticket(stack: Stack, protocol_id: str) -> None:
    token = stack.api.token("viewer", protocols=["other"])
    for where in (protocol_id, "never-made", "a%0d%0aSet-Cookie:b"):
        with StreamReader(stack.port, where, token) as stream:
            assert stream.status == 404
            assert stream.response.headers["Set-Cookie"] is None
        assert stack.api.with_token(token).post(f"/protocols/{where}/stream-tickets").status == 404
    assert stack.api.admin.post("/protocols/never-made/stream-tickets").status == 404
    with StreamReader(stack.port, protocol_id) as stream:
        assert (stream.status, stream.code) == (401, "UNAUTHORIZED")
    assert stack.api.with_token(None).post(f"/protocols/{protocol_id}/stream-tickets").status == 401
    assert stack.api.admin.post(f"/protocols/{protocol_id}/events").status == 405
    for role in ("agent", "viewer", "validator", "owner", "admin"):
        with open_stream(stack, protocol_id, role) as stream:
            assert stream.next().name == "state"


def test_a_token_in_the_url_is_refused_even_beside_a_header(stack: Stack, protocol_id: str) -> None:
    token = stack.api.token("viewer")
    for name in ("token", "access_token"):
        for header in (None, token):
            with StreamReader(stack.port, protocol_id, header, f"?{name}={token}") as stream:
                assert (stream.status, stream.code) == (401, "TOKEN_IN_URL")


def test_a_ticket_opens_one_stream_of_its_protocol_and_is_not_logged(stack: Stack, protocol_id: str) -> None:
    other = make_protocol(stack.api)
    ticket = ticket_for(stack, protocol_id, protocols=[protocol_id, other])
    with stack.redis() as client:
        held = [key for key in client.scan_iter("stream-ticket:*") if 0 < client.ttl(key) <= 30]
        assert held
        assert not any(ticket.encode() in key + client.get(key) for key in held)
    with with_ticket(stack, other, ticket) as stream:
        assert (stream.status, stream.code) == (401, "INVALID_TICKET")
    with with_ticket(stack, protocol_id, ticket) as stream:
        assert stream.next().name == "state"
        with with_ticket(stack, protocol_id, ticket) as second:
            assert (second.status, second.code) == (401, "INVALID_TICKET")
    assert ticket not in stack.log


def test_a_ticket_is_worth_no_more_than_the_token_that_got_it(stack: Stack, protocol_id: str) -> None:
    revoked, expiring = ticket_for(stack, protocol_id, jti="lent"), ticket_for(stack, protocol_id, ttl=soon())
    late = ticket_for(stack, protocol_id)
    with with_ticket(stack, protocol_id, expiring) as stream:
        assert [each.name for each in iter(stream.next, None)] == ["state", "session:expired"]
    stack.api.admin.post("/tokens/revoke", {"jti": "lent", "reason": "test"}).expect(201)
    with with_ticket(stack, protocol_id, revoked) as stream:
        assert (stream.status, stream.code) == (401, "TOKEN_REVOKED")
    with stack.redis() as client:
        for key in client.scan_iter("stream-ticket:*"):
            client.pexpire(key, 1)
    with with_ticket(stack, protocol_id, late) as stream:
        assert (stream.status, stream.code) == (401, "INVALID_TICKET")
    with with_ticket(stack, protocol_id, "x" * 5000) as stream:
        assert (stream.status, stream.code) == (401, "INVALID_TICKET")


def test_a_stream_ends_when_its_token_expires_or_is_revoked(stack: Stack, protocol_id: str) -> None:
    jti = f"stolen-{time.time_ns()}"
    with (
        open_stream(stack, protocol_id, ttl=soon()) as expiring,
        open_stream(stack, protocol_id, jti=jti) as revoked,
        open_stream(stack, protocol_id) as other,
    ):
        assert {each.next().name for each in (expiring, revoked, other)} == {"state"}
        expired = expiring.next()
        assert (expired.name, expired.id, expired.payload) == ("session:expired", None, {"code": "TOKEN_EXPIRED"})
        assert expiring.next() is None
        stack.api.admin.post("/tokens/revoke", {"jti": jti, "reason": "test"}).expect(201)
        ended = revoked.next()
        assert (ended.name, ended.payload) == ("session:revoked", {"code": "TOKEN_REVOKED"})
        assert revoked.next() is None
        deposit(stack.api, protocol_id, "1")
        assert other.next().name == POOL


def test_head_opens_no_stream_and_the_last_event_id_is_ignored(stack: Stack, protocol_id: str) -> None:
    before, token = stack.metric("dashboard_streams"), stack.api.token("viewer")
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    for _ in range(2):  # on one connection
        connection.request(
            "HEAD", f"/api/v1/protocols/{protocol_id}/events", headers={"Authorization": f"Bearer {token}"}
        )
        response = connection.getresponse()
        assert (response.status, response.headers["Content-Type"], response.read()) == (200, STREAM, b"")
    connection.close()
    assert stack.metric("dashboard_streams") == before
    deposit(stack.api, protocol_id, "1")
    with StreamReader(stack.port, protocol_id, token, Last_Event_ID="1") as stream:
        assert (first := stream.next()).name == "state"
        assert first.id == first.payload["seq"] == "1"


def test_a_client_that_closes_is_noticed_and_missed(stack: Stack, protocol_id: str) -> None:
    before = stack.metric("dashboard_streams")
    stream = open_stream(stack, protocol_id, sub="passer-by")
    assert stream.next().name == "state"
    assert stack.metric("dashboard_streams") == before + 1
    stream.close()
    until(lambda: stack.metric("dashboard_streams") == before, 5, "the stream is forgotten")
    until(lambda: stack.log_lines("socket.disconnected", protocol_id, "transport close"), 5, "its end is logged")
    deposit(stack.api, protocol_id, "1")
    until(lambda: stack.log_lines("event.undelivered", protocol_id, "passer-by"), 5, "it is named")


def test_a_client_of_http_1_0_gets_the_stream_without_chunks_whatever_it_sends_behind(stack, protocol_id) -> None:
    head = f"GET /api/v1/protocols/{protocol_id}/events HTTP/1.0\r\nAuthorization: Bearer {stack.api.token('viewer')}"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=60) as client:
        client.sendall(f"{head}\r\n\r\nGET /api/v1/protocols HTTP/1.1\r\nHost: x\r\n\r\n{'x' * 9000}".encode())
        received = b""
        while b"\n\n" not in received:
            received += client.recv(65536)
        deposit(stack.api, protocol_id, "1")
        while received.count(b"\n\n") < 2:
            received += client.recv(65536)
    fields, _, body = received.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in fields.lower()
    assert fields.lower().count(b"http/1.1") == 1
    assert re.fullmatch(rb"event: state\nid: 0\ndata: .*\n\nevent: bounty_pool:updated\nid: 1\ndata: .*\n\n", body)
