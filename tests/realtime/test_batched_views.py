"""The batched view of a room, without web processes: the content of a batch and when it leaves."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.core.extensions import redis_client
from app.realtime import limiter
from app.realtime.events import EventType
from app.realtime.outcome import Outcome
from app.realtime.redis_keys import batched_view
from tests.factories import make_agent, report
from tests.support.processes import until
from tests.support.room_reader import RoomReader, reading, seconds_of

pytestmark = pytest.mark.database("sqlite")

BATCH, SINGLE = EventType.AGENT_TASK_UPDATES, EventType.AGENT_TASK_UPDATE


@pytest.fixture
def batched(in_context, protocol_id) -> Iterator[RoomReader]:
    """A subscriber of the batched view."""
    with reading(redis_client(), batched_view(protocol_id)) as reader:
        assert limiter.current_seq(batched_view(protocol_id)) != ""
        yield reader


@pytest.fixture
def single(in_context, protocol_id) -> Iterator[RoomReader]:
    """A subscriber of the room's own view."""
    with reading(redis_client(), protocol_id) as reader:
        yield reader


@pytest.fixture
def say(api, protocol_id) -> Callable[..., None]:
    def send(agent_id: str, task: str = "scan", **fields: Any) -> None:
        api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, task, **fields)).expect(202)

    return send


def drained(condition: Callable[[], object]) -> None:
    def drain_until_idle() -> object:
        limiter.drain()
        return condition()

    until(drain_until_idle, 30, "everything that waits has left", pause=0.03)


def batches(reader: RoomReader) -> list[dict[str, Any]]:
    return [each for each in reader.read() if each["eventType"] == BATCH]


def test_a_batch_has_the_newest_update_of_every_agent_that_changed(api, batched, say, protocol_id) -> None:
    agents = sorted(make_agent(api) for _ in range(3))
    for progress in (1, 2):
        for each in agents:
            say(each, progress=progress)
    drained(lambda: batches(batched))

    [batch] = batches(batched)

    assert batch["protocolId"] == protocol_id
    assert int(batch["seq"]) > 0
    assert sorted(each["agentId"] for each in batch["data"]["updates"]) == agents
    assert {(each["progress"], each["status"]) for each in batch["data"]["updates"]} == {("2", "RUNNING")}
    assert all(int(each["version"]) > 0 for each in batch["data"]["updates"])


def test_batches_are_a_second_apart_and_hold_only_agents_that_changed_since(api, batched, say) -> None:
    first, second = make_agent(api), make_agent(api)
    say(first, progress=1)
    drained(lambda: batches(batched))
    say(second, progress=2)
    limiter.drain()
    drained(lambda: len(batches(batched)) == 2)

    events = batches(batched)

    assert [[each["agentId"] for each in batch["data"]["updates"]] for batch in events] == [[first], [second]]
    assert seconds_of(events[1]["timestamp"]) - seconds_of(events[0]["timestamp"]) >= 1.0
    assert int(events[1]["seq"]) == int(events[0]["seq"]) + 1


def test_without_a_change_no_batch_leaves(api, batched, say, sleeping) -> None:
    say(make_agent(api), progress=1)
    drained(lambda: batches(batched))
    for _ in range(4):
        sleeping(0.4)
        limiter.drain()
    assert len(batches(batched)) == 1


def test_a_terminal_update_is_an_event_of_its_own_and_its_agent_is_in_no_earlier_batch(
    api, batched, single, say
) -> None:
    agent_id = make_agent(api)
    say(agent_id, "one", progress=50)
    say(agent_id, "one", status="COMPLETED")
    drained(batched.read)
    say(agent_id, "two", progress=5)
    drained(lambda: batches(batched))

    events = batched.read()

    assert [each["eventType"] for each in events] == [SINGLE, BATCH]
    assert events[0]["data"]["status"] == "COMPLETED"
    assert [(each["task"], each["progress"]) for each in events[1]["data"]["updates"]] == [("two", "5")]
    assert int(events[1]["seq"]) == int(events[0]["seq"]) + 1
    drained(lambda: len(single.read()) == 2)
    assert [each["eventType"] for each in single.read()] == [SINGLE, SINGLE]
    assert single.read()[0]["data"] == events[0]["data"]
    assert [each["seq"] for each in single.read()] == ["1", "2"]


def test_the_task_after_a_terminal_update_is_in_the_next_batch(api, batched, say) -> None:
    say(make_agent(api), "one", status="COMPLETED", nextTask="two")
    drained(lambda: batches(batched))
    events = batched.read()
    assert [each["eventType"] for each in events] == [SINGLE, BATCH]
    assert [(each["task"], each["status"]) for each in events[1]["data"]["updates"]] == [("two", "RUNNING")]


def test_an_agent_that_finished_meanwhile_is_left_out_of_the_batch(api, batched, say) -> None:
    staying, finished = make_agent(api), make_agent(api)
    say(staying, progress=1)
    say(finished, "done", status="FAILED", error={"message": "no disk"})
    drained(lambda: batches(batched))
    updates = [each for batch in batches(batched) for each in batch["data"]["updates"]]
    assert [each["agentId"] for each in updates] == [staying]


def test_a_batch_waits_behind_the_queue_and_counts_as_one_of_the_rooms_ten(api, batched, single, say, protocol_id):
    for number in range(12):
        limiter.emit(protocol_id, EventType.BOUNTY_POOL_UPDATED, f'{{"version":"{number}"}}')
    say(make_agent(api), progress=1)
    drained(lambda: batches(batched))

    kinds = [each["eventType"] for each in batched.read()]

    assert kinds == ["bounty_pool:updated"] * 12 + [BATCH]
    seqs = [int(each["seq"]) for each in batched.read()]
    assert seqs == list(range(seqs[0], seqs[0] + 13))


def test_a_batch_waits_for_the_rooms_window_also_without_a_queue(api, batched, say, protocol_id) -> None:
    for number in range(10):
        limiter.emit(protocol_id, EventType.BOUNTY_POOL_UPDATED, f'{{"version":"{number}"}}')
    say(make_agent(api), progress=1)
    drained(lambda: batches(batched))
    moments = [seconds_of(each["timestamp"]) for each in batched.read()]
    assert len(moments) == 11
    assert moments[10] - moments[0] >= 1.0


def test_an_update_that_only_the_batched_view_receives_is_not_undelivered(api, batched, say) -> None:
    say(make_agent(api), progress=1)
    outcomes: list[Outcome] = []

    def has_batch() -> bool:
        outcomes.append(limiter.drain())
        return any(each.emitted.get(BATCH) for each in outcomes)

    until(has_batch, 20, "the batch leaves")
    assert [lost for each in outcomes for lost in each.undelivered] == []


def test_events_are_numbered_for_the_batched_view_also_without_listeners(api, in_context, protocol_id) -> None:
    view = batched_view(protocol_id)
    limiter.current_seq(view)
    with reading(redis_client(), view):
        limiter.emit(protocol_id, EventType.BOUNTY_POOL_UPDATED, '{"version":"1"}')
    before = int(limiter.current_seq(view))
    limiter.emit(protocol_id, EventType.BOUNTY_POOL_UPDATED, '{"version":"2"}')
    assert int(limiter.current_seq(view)) == before + 1
    with reading(redis_client(), view) as reader:
        limiter.emit(protocol_id, EventType.BOUNTY_POOL_UPDATED, '{"version":"3"}')
        [event] = reader.wait_for(1)
    assert int(event["seq"]) == before + 2
