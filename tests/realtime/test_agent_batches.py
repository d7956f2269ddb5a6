"""`agentBatches`: all agents of a room in one event a second, beside connections that see each update by itself."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from app.core.extensions import redis_client
from app.realtime import limiter
from app.realtime.events import EventType
from app.realtime.redis_keys import batched_view, channel_of, room_keys
from app.realtime.scripts import source
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.support.agent_group import AgentGroup
from tests.support.emissions import Emission
from tests.support.event_checks import moment, most_in_a_window
from tests.support.js_client import Event, JsClient, JsSocket
from tests.support.machine_speed import slowdown
from tests.support.processes import until
from tests.support.redis_clock import age_memory
from tests.support.stack import Stack

SINGLE, BATCH = EventType.AGENT_TASK_UPDATE, EventType.AGENT_TASK_UPDATES
MANY, FEW = 400, 12
GAP = 0.999  # a second, less what a script may take from its clock to its PUBLISH

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def many(stack: Stack) -> AgentGroup:
    return AgentGroup(stack, MANY)


@pytest.fixture(scope="module")
def few(stack: Stack) -> AgentGroup:
    return AgentGroup(stack, FEW)


@pytest.fixture
def watch(stack: Stack, js: JsClient) -> Callable[..., JsSocket]:
    token = stack.api.token("viewer")
    return lambda protocol_id, **fields: js.connect(stack.url, {"token": token, "protocolId": protocol_id, **fields})


def updates(member: JsSocket) -> list[tuple[Event, dict[str, str]]]:
    return [(event, data) for event in member.events(BATCH) for data in event.data["updates"]]


def agents_updated(member: JsSocket, **fields: str) -> set[str]:
    """The agents of which a batched connection received an update with these fields."""
    return {data["agentId"] for _, data in updates(member) if fields.items() <= data.items()}


def seqs(member: JsSocket) -> list[int]:
    return [int(event.payload["seq"]) for event in member.events()]


def without_hole(numbers: list[int]) -> bool:
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def seq_of_state(stack: Stack, protocol_id: str, query: str = "") -> int:
    return int(stack.api.viewer.get(f"/protocols/{protocol_id}/state{query}").expect(200)["seq"])


def close(stack: Stack, agent_id: str, protocol_id: str, task: str, **fields: Any) -> None:
    body = report(protocol_id, task, status="COMPLETED", **fields)
    stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", body).expect(202)


@pytest.mark.slow
def test_400_agents_are_shown_within_seconds_by_one_event_a_second_of_the_rooms_ten(stack, watch, many, protocol_id):
    batched, single = watch(protocol_id, agentBatches=True), watch(protocol_id)
    with stack.emissions() as emissions:
        for progress in (10, 20, 30):
            many.report(protocol_id, progress)
            last = str(progress)
            batched.wait_for(
                lambda _, last=last: len(agents_updated(batched, progress=last)) == MANY,
                30,
                f"all updates of {last} % arrive",
            )
        single.wait_until_count(20, 30)
    left = [*emissions.of(protocol_id), *batches(emissions.of(batched_view(protocol_id)))]

    waits = [moment(e.payload["timestamp"]).timestamp() - int(data["version"]) / 1e6 for e, data in updates(batched)]
    assert max(waits) < 3 * slowdown()
    assert {event.name for event in batched.events()} == {BATCH}
    assert {event.name for event in single.events()} == {SINGLE}
    assert min(after.at - before.at for before, after in pairwise(batches(left))) >= GAP
    assert most_in_a_window([each.at for each in left]) <= 10
    assert without_hole(seqs(batched))
    assert without_hole(seqs(single))
    assert seqs(single)[0] == 1


def batches(emissions: list[Emission]) -> list[Emission]:
    return [each for each in emissions if each.members["eventType"] == BATCH]


@pytest.mark.slow
def test_terminal_updates_pool_and_findings_reach_both_views_without_a_gap(stack, watch, few, protocol_id):
    batched, single = watch(protocol_id, agentBatches=True), watch(protocol_id)
    few.report(protocol_id, 5)
    for number, agent_id in enumerate(few.agents):
        deposit(stack.api, protocol_id, "1")
        finding = file_vulnerability(stack.api, protocol_id, bounty="0.5")
        stack.api.validator.post(f"/vulnerabilities/{finding['id']}/confirm", {}).expect(200)
        few.report(protocol_id, 10 + number)
        close(stack, agent_id, protocol_id, "scan")
    for member in (batched, single):
        member.wait_for(lambda _, member=member: len(others(member)) == 5 * FEW, 40, "all but progress is there")

    assert others(batched) == others(single)
    assert BATCH not in {event.name for event in single.events()}
    assert without_hole(seqs(batched))
    assert seqs(single) == list(range(1, len(seqs(single)) + 1))
    until(lambda: seq_of_state(stack, protocol_id) == seqs(single)[-1], 15, "/state gives the number of the last event")
    until(lambda: seq_of_state(stack, protocol_id, "?agentBatches=true") == seqs(batched)[-1], 15, "that view's")


def others(member: JsSocket) -> list[tuple[str, dict[str, str]]]:
    """The events that are not progress reports."""
    events = [each for each in member.events() if each.name != BATCH]
    return [(each.name, each.data) for each in events if each.data.get("status") != "RUNNING"]


@pytest.mark.slow
def test_no_progress_of_a_task_follows_its_terminal_update(stack, watch, few, protocol_id):
    batched = watch(protocol_id, agentBatches=True)
    for number in range(6):
        few.report(protocol_id, 50, task=f"task {number}")
        for agent_id in few.agents[number % 2 :: 2]:
            close(stack, agent_id, protocol_id, f"task {number}")
        few.report(protocol_id, 1, task=f"task {number + 1}")
    batched.wait_for(lambda _: len(others(batched)) == 3 * FEW, 60, "all terminal updates arrive")
    batched.wait_for(
        lambda _: len(agents_updated(batched, task="task 6")) == FEW, 10, "all updates of the last task arrive"
    )

    seen: dict[str, int] = {}
    for data in in_order(batched):
        assert int(data["version"]) > seen.get(data["agentId"], 0), data
        seen[data["agentId"]] = int(data["version"])


def in_order(member: JsSocket) -> list[dict[str, str]]:
    """Each agent's updates in the order received, from both kinds of event."""
    return [data for event in member.events() for data in event.data.get("updates", [event.data])]


@pytest.mark.slow
def test_the_next_task_of_an_agent_is_emitted_although_others_reported_meanwhile(stack, watch, few, protocol_id):
    """A batch may leave while a terminal update waits for its second: a later batch must have the next task."""
    batched, single = watch(protocol_id, agentBatches=True), watch(protocol_id)
    for number in range(5):
        agent_id, batches_before = make_agent(stack.api), len(batched.events(BATCH))
        few.report(protocol_id, 10 + number)
        batched.wait_until_count(batches_before + 1, 15, BATCH)
        stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, "one")).expect(202)
        single.wait_for_event(SINGLE, 15, agentId=agent_id)
        close(stack, agent_id, protocol_id, "one", nextTask="two")
        few.report(protocol_id, 20 + number)
        batched.wait_for_event(SINGLE, 15, agentId=agent_id, status="COMPLETED")
        batched.wait_for(
            lambda _, agent=agent_id: agent in agents_updated(batched, task="two"),
            10,
            "the update of the next task arrives",
        )


@pytest.mark.slow
def test_an_event_published_while_no_process_was_subscribed_shows_as_a_gap(stack, watch, few, protocol_id):
    """The web process is cut off from Redis and an event leaves, in one step: nobody listens at that moment."""
    batched = watch(protocol_id, agentBatches=True)
    few.report(protocol_id, 10)
    batched.wait_until_count(1, 15, BATCH)
    with stack.redis() as client:
        listening = [each["id"] for each in client.client_list(_type="pubsub") if int(each["ssub"])]
        publish, pool = client.register_script(source("emit")), EventType.BOUNTY_POOL_UPDATED
        with client.pipeline(transaction=True) as pipe:
            for number in listening:
                pipe.client_kill_filter(_id=number)
            publish(keys=room_keys(protocol_id), args=[protocol_id, "", "", "", pool, "{}"], client=pipe)
            pipe.execute()
        until(
            lambda: client.execute_command("PUBSUB", "SHARDNUMSUB", channel_of(batched_view(protocol_id)))[1],
            15,
            "it listens again",
        )

    batched.wait_for(
        lambda event: event.name == "$disconnect", 15, "the connection is ended, so that it fetches /state"
    )


def test_a_connection_can_change_its_view_and_receives_the_new_sequence_number(stack, watch, few, protocol_id):
    member = watch(protocol_id)
    for _ in range(3):
        deposit(stack.api, protocol_id, "1")
    member.wait_until_count(3)

    ack = member.emit("protocol:join", {"protocolId": protocol_id, "agentBatches": True})
    assert int(ack["seq"]) == seq_of_state(stack, protocol_id, "?agentBatches=true")
    few.report(protocol_id, 42)
    event = member.wait_for_event(BATCH, 15)
    assert int(event.payload["seq"]) == int(ack["seq"]) + 1
    assert not member.events(SINGLE)

    assert member.join(protocol_id)["seq"] == str(seq_of_state(stack, protocol_id))
    few.report(protocol_id, 43)
    member.wait_for_event(SINGLE, 15, progress="43")


def test_a_batched_view_goes_on_when_redis_has_lost_its_memory(api, in_context, valkey, settings):
    """The client stays connected, while Redis has lost the view's number."""
    protocol_id, agent_id = make_protocol(api), make_agent(api)
    view = batched_view(protocol_id)
    with valkey.client() as client, client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.ssubscribe(channel_of(view))
        listener.get_message(timeout=1)
        redis_client().flushdb()
        age_memory(redis_client())
        body = report(protocol_id, "scan", 5)
        api.agent(agent_id).post(f"/agents/{agent_id}/progress", body).expect(202)
        limiter.drain()
        batch = listener.get_message(timeout=5)
        deposit(api, protocol_id, "1")
        money = listener.get_message(timeout=5)

    assert batch is not None
    assert BATCH.encode() in batch["data"]
    assert agent_id.encode() in batch["data"]
    assert money is not None
    assert EventType.BOUNTY_POOL_UPDATED.encode() in money["data"]
