"""The coalescer: one update a second per agent; the newest report wins, terminal updates are never lost."""

from itertools import pairwise

import pytest

from app.realtime import limiter
from app.realtime.events import EventType
from tests.factories import make_agent, make_protocol, report
from tests.support.emissions import Emission, Emissions

pytestmark = pytest.mark.database("sqlite")  # the coalescer uses Redis only

GAP = 0.999  # a second, less what a script may take from its clock to its PUBLISH


@pytest.fixture
def say(api):
    """`say(agent, protocol, progress=5)`: report over REST."""

    def send(agent_id: str, protocol_id: str, task: str = "scan", progress: int = 10, **fields: object) -> None:
        body = report(protocol_id, task, progress, **fields)
        api.agent(agent_id).post(f"/agents/{agent_id}/progress", body).expect(202)

    return send


def gaps(events: list[Emission]) -> list[float]:
    return [after.at - before.at for before, after in pairwise(events)]


def of_agent(emissions: Emissions, protocol_id: str, agent_id: str) -> list[Emission]:
    return [each for each in emissions.of(protocol_id) if each.members["agentId"] == agent_id]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_parallel_reporters_and_two_beats_give_one_update_a_second_per_agent(
    api, loads, emissions, protocol_id
) -> None:
    agents = [make_agent(api) for _ in range(2)]
    reporters = loads.run(*[("report", each, protocol_id, 60, 50, 0) for each in agents * 2])
    loads.run(*[("tick", 60, interval) for interval in (150, 1000)])

    loads.finish(reporters)

    for each in agents:
        events = of_agent(emissions, protocol_id, each)
        assert len(events) >= 3
        assert min(gaps(events)) >= GAP
        versions = [int(event.members["version"]) for event in events]
        assert versions == sorted(set(versions))


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_terminal_update_leaves_once_and_in_order_between_reports_of_parallel_processes(
    api, loads, emissions, protocol_id
) -> None:
    agents = [make_agent(api) for _ in range(3)]
    reporters = loads.run(*[("report", each, protocol_id, 30, 10, 5) for each in agents])
    loads.run(*[("tick", 90, interval) for interval in (150, 1000)])
    loads.finish(reporters)

    wanted = [f"task {number}" for number in range(1, 7)]
    emissions.wait_until(lambda: all(terminal_updates(emissions, protocol_id, each) == wanted for each in agents), 30)

    for each in agents:
        events = of_agent(emissions, protocol_id, each)
        assert min(gaps(events)) >= GAP
        versions = [int(event.members["version"]) for event in events]
        assert versions == sorted(set(versions))


def terminal_updates(emissions: Emissions, protocol_id: str, agent_id: str) -> list[str]:
    events = of_agent(emissions, protocol_id, agent_id)
    return [event.members["task"] for event in events if event.members["status"] == "COMPLETED"]


def test_an_agent_is_emitted_once_a_second_however_often_beat_ticks(api, in_context, emissions, *, say, protocol_id):
    agent_id = make_agent(api)
    for progress in range(1, 30):
        say(agent_id, protocol_id, progress=progress)
        limiter.drain()

    events = of_agent(emissions, protocol_id, agent_id)

    assert 1 <= len(events) <= 1 + (events[-1].at - events[0].at) / GAP
    assert all(gap >= GAP for gap in gaps(events))


def test_the_newest_report_wins_and_the_older_ones_are_not_counted_as_dropped(
    api, in_context, emissions, *, say, counted, protocol_id
):
    agent_id, before = make_agent(api), counted("dashboard_events_dropped_total")
    for progress in (1, 2, 3, 99):
        say(agent_id, protocol_id, progress=progress)
    limiter.drain()

    events = emissions.wait_for(protocol_id, 1, 5)

    assert [event.members["progress"] for event in events] == ["99"]
    assert [event.seq for event in events] == [1]
    assert counted("dashboard_events_dropped_total") == before


def test_a_terminal_update_replaces_the_waiting_report_of_its_task(
    api, in_context, emissions, *, say, protocol_id, sleeping
):
    agent_id = make_agent(api)
    say(agent_id, protocol_id, "scan", 50)
    say(agent_id, protocol_id, "scan", status="COMPLETED")
    for _ in range(4):
        limiter.drain()
        sleeping(0.5)

    events = [(each.members["task"], each.members["status"]) for each in emissions.of(protocol_id)]

    assert events == [("scan", "COMPLETED")]


def test_a_report_after_a_terminal_update_waits_a_second(api, in_context, emissions, *, say, protocol_id, sleeping):
    agent_id = make_agent(api)
    say(agent_id, protocol_id, "one", status="COMPLETED")
    say(agent_id, protocol_id, "two", 5)
    for _ in range(25):
        limiter.drain()
        sleeping(0.05)

    events = of_agent(emissions, protocol_id, agent_id)

    assert [each.members["status"] for each in events] == ["COMPLETED", "RUNNING"]
    assert gaps(events)[0] >= GAP


def test_an_agent_in_two_rooms_is_emitted_in_both_and_once_a_second_in_all(
    api, in_context, emissions, *, say, protocol_id, sleeping
):
    other, agent_id = make_protocol(api), make_agent(api)
    say(agent_id, protocol_id, "here", 1)
    say(agent_id, other, "there", 2)
    for _ in range(25):
        limiter.drain()
        sleeping(0.05)

    events = sorted([*emissions.of(protocol_id), *emissions.of(other)], key=lambda event: event.at)

    assert [event.members["task"] for event in events] == ["here", "there"]
    assert gaps(events)[0] >= GAP


def test_an_agent_that_moves_without_a_terminal_update_is_idle_in_the_earlier_room(
    api, in_context, emissions, *, say, protocol_id
):
    other, agent_id = make_protocol(api), make_agent(api)
    say(agent_id, protocol_id, "here", 40)
    drain_until(emissions, protocol_id, 1)
    say(agent_id, other, "there", 2)
    drain_until(emissions, protocol_id, 2)

    running, idle = (each.members for each in emissions.of(protocol_id))
    assert (idle["task"], idle["status"], idle["progress"]) == ("here", "IDLE", "40")
    assert int(idle["version"]) > int(running["version"])
    (shown,) = api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)["agents"]
    assert (shown["status"], shown["version"]) == ("IDLE", idle["version"])


def test_an_agent_that_finishes_a_task_of_another_protocol_is_idle_in_the_one_it_left(
    api, in_context, emissions, *, say, protocol_id
):
    other, agent_id = make_protocol(api), make_agent(api)
    say(agent_id, protocol_id, "here", 40)
    say(agent_id, other, "there", status="COMPLETED")
    drain_until(emissions, protocol_id, 1)
    drain_until(emissions, other, 1)

    assert [each.members["status"] for each in emissions.of(protocol_id)] == ["IDLE"]
    assert [each.members["status"] for each in emissions.of(other)] == ["COMPLETED"]


def test_an_agent_that_finished_its_task_before_it_moved_is_not_emitted_again(
    api, in_context, emissions, *, say, protocol_id
):
    other, agent_id = make_protocol(api), make_agent(api)
    say(agent_id, protocol_id, "here", status="COMPLETED")
    say(agent_id, other, "there", 2)
    drain_until(emissions, protocol_id, 1)
    drain_until(emissions, other, 1)

    assert [each.members["status"] for each in emissions.of(protocol_id)] == ["COMPLETED"]


def test_an_agent_that_comes_back_is_shown_at_work_and_idle_in_the_room_between(
    api, in_context, emissions, *, say, protocol_id
):
    other, agent_id = make_protocol(api), make_agent(api)
    for number, room in enumerate((protocol_id, other, protocol_id)):
        say(agent_id, room, f"task {number}", number)

    def last_status(room: str) -> str:
        limiter.drain()
        return ([""] + [each.members["status"] for each in emissions.of(room)])[-1]

    emissions.wait_until(lambda: (last_status(protocol_id), last_status(other)) == ("RUNNING", "IDLE"), 15)
    events = sorted([*emissions.of(protocol_id), *emissions.of(other)], key=lambda event: event.at)
    assert all(gap >= GAP for gap in gaps(events))


def test_the_newest_of_an_agents_reports_to_several_rooms_in_one_batch_is_taken(
    api, in_context, emissions, *, protocol_id
):
    other, agent_id = make_protocol(api), make_agent(api)
    data = f'{{"agentId":"{agent_id}","status":"RUNNING"'
    limiter.report([limiter.RunningReport(agent_id, each, "scan", data) for each in (protocol_id, other, protocol_id)])
    drain_until(emissions, protocol_id, 1)

    assert [each.members["status"] for each in emissions.of(protocol_id)] == ["RUNNING"]
    assert emissions.of(other) == []


def drain_until(emissions: Emissions, protocol_id: str, count: int) -> None:
    def have_left() -> bool:
        limiter.drain()
        return len(emissions.of(protocol_id)) >= count

    emissions.wait_until(have_left, 15)


def test_running_updates_never_delay_the_room_queue(api, in_context, emissions, *, say, protocol_id, sleeping):
    agents = [make_agent(api) for _ in range(15)]
    for each in agents:
        say(each, protocol_id)
    limiter.drain()
    limiter.emit(protocol_id, EventType.BOUNTY_POOL_UPDATED, '{"version":"1"}')
    for _ in range(40):
        limiter.drain()
        sleeping(0.05)

    kinds = [event.members["eventType"] for event in emissions.of(protocol_id)]

    assert kinds == ["agent:task_update"] * 10 + ["bounty_pool:updated"] + ["agent:task_update"] * 5
    assert [event.seq for event in emissions.of(protocol_id)] == list(range(1, 17))


def test_the_longest_waiting_of_many_agents_is_emitted_first_and_none_is_left_out(
    api, in_context, emissions, *, say, protocol_id, sleeping
):
    agents = [make_agent(api) for _ in range(30)]
    for each in agents:
        say(each, protocol_id, progress=1)
    for progress in (2, 3):
        updates = [report(protocol_id, progress=progress) | {"agentId": each} for each in agents]
        api.admin.post("/progress", {"updates": updates}).expect(202)
        limiter.drain()
    for _ in range(75):
        limiter.drain()
        sleeping(0.05)

    events = [event.members["agentId"] for event in emissions.of(protocol_id)]

    assert events[:30] == agents
    assert emissions.most_a_second(protocol_id) == 10


def test_versions_rise_also_when_redis_has_lost_its_memory(api, in_context, say, *, valkey, settings, protocol_id):
    agent_id = make_agent(api)

    def version() -> int:
        return int(api.viewer.get(f"/agents/{agent_id}").expect(200)["currentTask"]["version"])

    say(agent_id, protocol_id, "scan", 5)
    before = version()
    with valkey.client(int(settings.redis_url.rpartition("/")[2])) as client:
        client.flushdb()
    assert version() == before  # as last stored

    say(agent_id, protocol_id, "scan", 6)

    assert version() > before


def test_the_101st_waiting_terminal_update_of_an_agent_is_refused(api, in_context, protocol_id):
    agent_id = make_agent(api)
    agent, path = api.agent(agent_id), f"/agents/{agent_id}/progress"
    for number in range(100):
        agent.post(path, report(protocol_id, f"t{number}", status="COMPLETED")).expect(202)

    answer = agent.post(path, report(protocol_id, "one too many", status="COMPLETED"))

    assert (answer.status, answer.code) == (429, "RATE_LIMITED")
    assert int(answer.headers["retry-after"]) >= 1
