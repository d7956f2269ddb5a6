"""The package against a running system: what rooms show is what `/state` says."""

import json
import time

import httpx
import pytest
from tests.support.processes import until
from tests.support.stack import Stack

from dashboard_realtime import Agent, Client, Room, RoomRefused, Status

TIMES = ("asOf", "lastSeen", "presence", "seq")  # what no event tells, and what passes

SHORT_SECONDS, LEEWAY_SECONDS = 6, 7  # of a token, and until the server has ended what had it

pytestmark = [pytest.mark.slow]
on_both = pytest.mark.parametrize("transport", ["socketio", "sse"])


@pytest.fixture
def client(stack: Stack, protocol_id: str):
    with Client(stack.url, stack.api.token("admin", protocols=["*"])) as client:
        yield client


@pytest.fixture
def agent_token(stack: Stack, protocol_id: str, agent_id: str) -> str:
    return stack.api.token("agent", sub=agent_id, protocols=[protocol_id])


def plain(state: object) -> object:
    """The state as JSON, without times."""
    return json.loads(json.dumps(state), object_hook=lambda each: {k: v for k, v in each.items() if k not in TIMES})


@on_both
def test_a_room_shows_what_agents_validators_and_owners_do(
    stack: Stack, client: Client, protocol_id: str, agent_id: str, agent_token: str, transport: str
) -> None:
    events = []
    token = stack.api.token("viewer", protocols=[protocol_id])
    with Room(stack.url, token, protocol_id, transport=transport, on_event=events.append) as room:
        until(lambda: room.status is Status.LIVE, 10, "it is live")
        client.create_deposit(protocol_id, amount="5000.00")
        with Agent(stack.url, agent_token, protocol_id=protocol_id) as agent, agent.task("Scan Vault.sol") as task:
            task.progress(40, eta=60)
            until(lambda: room.state.agent(agent_id), 10, "the task is shown")
            found = agent.file("Reentrancy in withdraw()", "CRITICAL", bounty="2500.00").result(30)
        until(lambda: room.state.agent(agent_id)["status"] == "COMPLETED", 10, "its end is shown")
        client.confirm_vulnerability(found["id"])
        client.request_payment(found["id"], recipient="0xabc")
        until(lambda: any(each["eventType"] == "vuln:status_changed" for each in events[-1:]), 30, "it was paid")
        until(lambda: plain(room.state) == plain(client.get_state(protocol_id)), 10, "the room equals `/state`")

        assert room.state.pool["paid"] == "2500.00"
        assert room.state.vulnerabilities == []
        assert room.state.counts["byStatus"]["PAID"] == "1"
        assert [each["status"] for each in room.state.payments] == ["RELEASED"]
        numbers = [int(each["seq"]) for each in events]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@on_both
def test_a_room_outlives_its_tokens(stack: Stack, client: Client, protocol_id: str, transport: str) -> None:
    """Over Socket.IO each token is replaced before it ends; a stream ends with its token and is opened anew."""
    asked, statuses = [], []

    def token() -> str:
        asked.append(time.time())
        return stack.api.token("viewer", protocols=[protocol_id], ttl=SHORT_SECONDS)

    with Room(stack.url, token, protocol_id, transport=transport, on_status=statuses.append) as room:
        until(lambda: time.time() > asked[0] + SHORT_SECONDS + LEEWAY_SECONDS, 30, "the first token has ended")
        until(lambda: transport == "socketio" or Status.RECONNECTING in statuses, 30, "the stream has ended with it")
        client.create_deposit(protocol_id, amount="7.00")
        until(lambda: room.state.pool["available"] == "7.00" and room.status is Status.LIVE, 30, "the room goes on")

    assert (Status.RECONNECTING in statuses) is (transport == "sse")


@on_both
@pytest.mark.parametrize("fault", ["token", "protocol"])
def test_what_the_server_refuses_ends_the_room(stack: Stack, protocol_id: str, transport: str, fault: str) -> None:
    token = "none" if fault == "token" else stack.api.token("viewer", protocols=["another"])
    with Room(stack.url, token, protocol_id, transport=transport) as room, pytest.raises(RoomRefused) as refused:
        next(iter(room.states()))

    assert refused.value.code == {"token": "UNAUTHORIZED", "protocol": "INVALID_PROTOCOL"}[fault]


def test_a_ticket_for_a_stream_can_be_made(stack: Stack, client: Client, protocol_id: str) -> None:
    ticket = client.create_stream_ticket(protocol_id)["ticket"]
    with httpx.stream("GET", f"{stack.url}/api/v1/protocols/{protocol_id}/events", params={"ticket": ticket}) as stream:
        assert stream.status_code == 200
