"""Terminal updates (COMPLETED, FAILED) in full rooms and over several rooms: order, spacing and drops."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import update

from app.core.database import transaction
from app.core.extensions import redis_client
from app.realtime import limiter, outbox
from app.realtime.events import EventType
from app.realtime.outcome import Outcome
from app.realtime.redis_keys import room_key
from tests.factories import make_protocol, report
from tests.support.emissions import Emission, Emissions
from tests.support.processes import until
from tests.support.room_reader import reading

pytestmark = pytest.mark.database("sqlite")

GAP = 0.999  # a second, less what a script may take from its clock to its PUBLISH
AGENT = EventType.AGENT_TASK_UPDATE


@pytest.fixture
def say(api) -> Callable[..., None]:
    def send(agent_id: str, protocol_id: str, task: str, **fields: Any) -> None:
        api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, task, **fields)).expect(202)

    return send


def fill(protocol_id: str, count: int) -> list[Outcome]:
    return [limiter.emit(protocol_id, EventType.BOUNTY_POOL_UPDATED, '{"version":"1"}') for _ in range(count)]


def drained(condition: Callable[[], object], seconds: float = 40) -> None:
    def drain_until_idle() -> object:
        limiter.drain()
        return condition()

    until(drain_until_idle, seconds, "everything that waits has left", pause=0.03)


def of_agent(emissions: Emissions, agent_id: str, *protocol_ids: str) -> list[Emission]:
    found = [each for room in protocol_ids for each in emissions.of(room) if each.members.get("agentId") == agent_id]
    return sorted(found, key=lambda each: each.at)


def updates_of(events: list[Emission]) -> list[tuple[str, str, str]]:
    return [(each.protocol_id, each.members["task"], each.members["status"]) for each in events]


def test_terminal_updates_of_an_agent_leave_in_order_a_second_apart_over_two_rooms(
    api, in_context, emissions, agent_id, say
) -> None:
    here, there = make_protocol(api), make_protocol(api)
    say(agent_id, here, "one", status="COMPLETED")
    say(agent_id, there, "two", status="FAILED", error={"message": "no"})
    say(agent_id, here, "three", status="COMPLETED")
    drained(lambda: len(of_agent(emissions, agent_id, here, there)) == 3)

    events = of_agent(emissions, agent_id, here, there)

    assert updates_of(events) == [(here, "one", "COMPLETED"), (there, "two", "FAILED"), (here, "three", "COMPLETED")]
    assert all(after.at - before.at >= GAP for before, after in pairwise(events))


def test_a_running_report_waits_for_all_earlier_terminal_updates(
    api, in_context, emissions, *, agent_id, protocol_id, say
) -> None:
    say(agent_id, protocol_id, "one", status="COMPLETED")
    say(agent_id, protocol_id, "two", status="COMPLETED")
    say(agent_id, protocol_id, "three", progress=5)
    drained(lambda: len(of_agent(emissions, agent_id, protocol_id)) == 3)

    events = of_agent(emissions, agent_id, protocol_id)

    assert [each.members["task"] for each in events] == ["one", "two", "three"]
    assert all(after.at - before.at >= GAP for before, after in pairwise(events))


def test_the_second_between_updates_of_an_agent_also_counts_between_rooms(
    api, in_context, emissions, agent_id, say
) -> None:
    here, there = make_protocol(api), make_protocol(api)
    say(agent_id, here, "one", status="COMPLETED")
    say(agent_id, there, "two", progress=7)
    drained(lambda: len(of_agent(emissions, agent_id, here, there)) >= 2)

    events = of_agent(emissions, agent_id, here, there)

    assert updates_of(events)[:2] == [(here, "one", "COMPLETED"), (there, "two", "RUNNING")]
    assert events[1].at - events[0].at >= GAP


def test_a_terminal_update_that_waits_for_its_agents_second_leaves_after_others(
    api, in_context, emissions, *, agent_id, protocol_id, say
) -> None:
    say(agent_id, protocol_id, "scan", progress=5)
    drained(lambda: of_agent(emissions, agent_id, protocol_id))
    say(agent_id, protocol_id, "scan", status="COMPLETED")
    fill(protocol_id, 1)
    drained(lambda: len(of_agent(emissions, agent_id, protocol_id)) == 2)
    assert of_agent(emissions, agent_id, protocol_id)[1].members["status"] == "COMPLETED"


def test_a_terminal_update_waits_behind_a_full_queue_and_drops_nothing(
    api, in_context, emissions, *, agent_id, protocol_id, say
) -> None:
    queue = room_key(protocol_id, "queue")
    while redis_client().llen(queue) < 100:
        assert fill(protocol_id, 1)[0].dropped == []
    say(agent_id, protocol_id, "scan", status="COMPLETED")

    assert limiter.drain().dropped == []
    waiting = [each.decode() for each in redis_client().lrange(queue, 0, -1)]
    assert agent_id not in "".join(waiting[:90])


def test_an_agent_whose_terminal_update_was_dropped_is_emitted_in_another_room_at_once(
    api, in_context, emissions, agent_id, say
) -> None:
    """The terminal update is the oldest in the queue: a hundred others drop it, and its agent need not wait for it."""
    crowded, quiet = make_protocol(api), make_protocol(api)
    fill(crowded, 10)
    say(agent_id, crowded, "lost", status="COMPLETED")
    say(agent_id, quiet, "next", status="COMPLETED")
    for _ in range(250):
        dropped = [(each["eventType"], each["protocolId"]) for each in fill(crowded, 1)[0].dropped]
        if (AGENT, crowded) in dropped or of_agent(emissions, agent_id, crowded):
            break  # it left if the machine was slow
    else:
        pytest.fail("the terminal update was never dropped")
    drained(lambda: of_agent(emissions, agent_id, quiet), 5)
    assert of_agent(emissions, agent_id, quiet)[0].members["task"] == "next"
    say(agent_id, quiet, "after", progress=1)
    drained(lambda: len(of_agent(emissions, agent_id, quiet)) == 2, 20)


def test_a_stored_agent_event_is_taken_once_and_an_older_position_never(
    api, in_context, emissions, *, agent_id, protocol_id, say, sleeping
) -> None:
    say(agent_id, protocol_id, "one", status="COMPLETED")
    say(agent_id, protocol_id, "two", status="COMPLETED")
    with transaction() as session:
        session.execute(update(outbox.OutboxEvent).values(published_at=None))
    outbox.relay(protocol_id)
    drained(lambda: len(of_agent(emissions, agent_id, protocol_id)) >= 2)
    sleeping(1.1)
    limiter.drain()

    assert [each.members["task"] for each in of_agent(emissions, agent_id, protocol_id)] == ["one", "two"]


def test_a_report_that_arrives_after_a_newer_terminal_update_does_not_show_the_agent_running(
    api, in_context, emissions, *, agent_id, protocol_id, say
) -> None:
    say(agent_id, protocol_id, "scan", progress=50)
    say(agent_id, protocol_id, "scan", status="COMPLETED")
    drained(lambda: of_agent(emissions, agent_id, protocol_id))

    [agent] = api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)["agents"]
    version = of_agent(emissions, agent_id, protocol_id)[-1].members["version"]
    assert (agent["status"], agent["progress"], agent["version"]) == ("COMPLETED", "100", version)
    assert limiter.drain().emitted == {}


def test_versions_of_an_agent_rise_over_rooms_tasks_and_terminal_updates(
    api, in_context, emissions, agent_id, say
) -> None:
    rooms = [make_protocol(api) for _ in range(3)]
    for number, room in enumerate(rooms):
        say(agent_id, room, f"t{number}", status="COMPLETED", nextTask=f"n{number}")
    drained(
        lambda: {each.members["task"] for each in of_agent(emissions, agent_id, *rooms)} >= {"t0", "t1", "t2", "n2"}
    )

    for room in rooms:
        versions = [int(each.members["version"]) for each in of_agent(emissions, agent_id, room)]
        assert versions == sorted(set(versions))
    terminal = [each for each in of_agent(emissions, agent_id, *rooms) if each.members["status"] == "COMPLETED"]
    assert [each.members["task"] for each in terminal] == ["t0", "t1", "t2"]
    assert [int(each.members["version"]) for each in terminal] == sorted(
        int(each.members["version"]) for each in terminal
    )


def test_reports_of_a_batch_for_the_same_agent_have_rising_versions_and_the_last_is_shown(
    api, in_context, agent_id, protocol_id
) -> None:
    updates = [report(protocol_id, "scan", progress=each, agentId=agent_id) for each in (1, 2, 3)]
    with reading(redis_client(), protocol_id) as room:
        api.admin.post("/progress", {"updates": updates}).expect(202)
        first = api.viewer.get(f"/agents/{agent_id}").expect(200)["currentTask"]
        limiter.drain()
        [event] = room.wait_for(1)

    assert first["progress"] == "3"
    assert (event["data"]["progress"], event["data"]["version"]) == ("3", first["version"])
