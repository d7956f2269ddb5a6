"""An agent moves between rooms of different partitions: in any order, repeated, and interrupted after any step."""

from itertools import pairwise

import pytest
import redis
from flask import Flask

from app.core.extensions import redis_client
from app.realtime import limiter, moves
from app.realtime.agent_records import locate, parse_agent, read_agents
from app.realtime.events import EventType
from app.realtime.redis_keys import agent_keys, partition_key, partition_of, room_key
from app.realtime.scripts import Call, RoomScripts, room_scripts
from tests.factories import unique
from tests.support.emissions import Emissions

pytestmark = pytest.mark.database("sqlite")

DATA = '{"agentId":"%s","task":"%s","progress":"5","status":"RUNNING","estimatedCompletion":"2026-11-23T10:00:00.000Z"'
GAP = 0.999


@pytest.fixture
def agent() -> str:
    return unique("A")


@pytest.fixture
def rooms() -> list[str]:
    return [unique("P") for _ in range(3)]


def report(agent: str, room: str, task: str = "scan", scripts: RoomScripts | None = None) -> limiter.Taken:
    return limiter.report([limiter.RunningReport(agent, room, task, DATA % (agent, task))], scripts)


def record(agent: str, room: str):
    return parse_agent(redis_client().hget(room_key(room, "agents"), agent))


def statuses(emissions: Emissions, room: str) -> list[str]:
    limiter.drain()
    return [each.members["status"] for each in emissions.of(room)]


class Interrupted(RoomScripts):
    """Fails instead of running this operation: the process crashed before it."""

    def __init__(self, operation: str) -> None:
        super().__init__(room_scripts().nodes)
        self._operation = operation

    def run_all(self, calls):
        if calls and calls[0].operation == self._operation:
            raise redis.ConnectionError("crashed")
        return super().run_all(calls)


@pytest.mark.parametrize("operation", ["leave", "arrive", "confirm"])
def test_a_move_that_was_interrupted_is_completed_by_the_next_report(
    in_context: Flask, emissions: Emissions, agent: str, rooms: list[str], operation: str
) -> None:
    here, there, _ = rooms
    report(agent, here)
    with pytest.raises(redis.ConnectionError):
        report(agent, there, scripts=Interrupted(operation))
    report(agent, there)

    emissions.wait_until(lambda: statuses(emissions, there) == ["RUNNING"], 15)
    assert statuses(emissions, here)[-1] == "IDLE"
    assert (record(agent, here).is_here, record(agent, there).is_here) == (False, True)
    assert locate(room_scripts().nodes, [agent]) == [there]


@pytest.mark.parametrize("operation", ["leave", "arrive", "confirm"])
def test_an_agent_that_goes_elsewhere_after_an_interrupted_move_works_in_one_room(
    in_context: Flask, emissions: Emissions, agent: str, rooms: list[str], operation: str
) -> None:
    here, there, elsewhere = rooms
    report(agent, here)
    with pytest.raises(redis.ConnectionError):
        report(agent, there, scripts=Interrupted(operation))
    report(agent, elsewhere)

    emissions.wait_until(lambda: statuses(emissions, elsewhere) == ["RUNNING"], 15)
    assert [record(agent, each).is_here for each in rooms] == [False, False, True]
    assert redis_client().hget(agent_keys(agent)[0], "previous") == b""


def test_versions_rise_over_rooms_whose_clocks_differ(in_context: Flask, agent: str, rooms: list[str]) -> None:
    """The earlier room's server was ahead: its versions are higher than the present time."""
    here, there, _ = rooms
    report(agent, here)
    ahead = record(agent, here).version + 3_600_000_000
    redis_client().hset(room_key(here, "agents"), agent, f"0 0 {ahead} {ahead} 1 1 scan")

    [(_, first)] = report(agent, there).starts
    [(_, second)] = report(agent, here, "next").starts

    assert ahead < first < second


def test_the_rest_of_an_agents_second_moves_along(in_context: Flask, emissions, agent, rooms) -> None:
    here, there, _ = rooms
    report(agent, here)
    emissions.wait_until(lambda: statuses(emissions, here) == ["RUNNING"], 15)
    report(agent, there)
    emissions.wait_until(lambda: statuses(emissions, there) == ["RUNNING"], 15)

    left = sorted([*emissions.of(here), *emissions.of(there)], key=lambda each: each.at)
    assert [each.members["status"] for each in left] == ["RUNNING", "IDLE", "RUNNING"]
    assert all(after.at - before.at >= GAP for before, after in pairwise(left))


def test_the_idle_update_has_no_estimate_and_a_higher_version(in_context: Flask, emissions, agent, rooms) -> None:
    here, there, _ = rooms
    [(_, version)] = report(agent, here).starts
    report(agent, there)

    latest = redis_client().hget(room_key(here, "latest"), agent)
    assert b'"status":"IDLE","estimatedCompletion":null' in latest
    assert int(latest.rpartition(b'"version":"')[2].rstrip(b'"}')) > version
    assert redis_client().zscore(partition_key(partition_of(here), "busy"), agent) is None or partition_of(
        here
    ) == partition_of(there)


def test_a_move_that_met_a_later_one_is_repeated_and_ends_in_one_room(in_context: Flask, agent, rooms) -> None:
    """Another process moved the agent on between the steps of this move."""
    here, there, elsewhere = rooms
    report(agent, here)

    class Overtaken(RoomScripts):
        overtaken = False

        def run_all(self, calls):
            if calls and calls[0].operation == "arrive" and not self.overtaken:
                self.overtaken = True
                report(agent, elsewhere)
            return super().run_all(calls)

    report(agent, there, scripts=Overtaken(room_scripts().nodes))

    assert [record(agent, each).is_here for each in rooms] == [False, True, False]
    assert locate(room_scripts().nodes, [agent]) == [there]


def test_an_agent_that_is_always_moved_on_is_given_up_and_logged(in_context: Flask, agent, rooms, caplog) -> None:
    class Refusing(RoomScripts):
        def run_all(self, calls):
            replies = super().run_all(calls)
            is_arrival = bool(calls) and calls[0].operation == "arrive"
            return [[b"99999999999999999"] for _ in replies] if is_arrival else replies

    moves.move(Refusing(room_scripts().nodes), [moves.Move(agent, rooms[0])])

    [failed] = [each for each in caplog.records if each.message == "agent.move_failed"]
    assert failed.agentIds == [agent]


def test_a_stored_update_of_an_agent_that_has_moved_on_is_emitted_and_does_not_bring_it_back(
    in_context: Flask, emissions, agent, rooms
) -> None:
    """The sweep relays it late."""
    here, there, _ = rooms
    report(agent, here)
    [(version, _)] = limiter.allocate_versions([(agent, here)])
    report(agent, there)
    data = f'{{"agentId":"{agent}","task":"scan","status":"COMPLETED","version":"{version}"}}'

    limiter.emit(here, EventType.AGENT_TASK_UPDATE, data, limiter.StoredEvent(1, "late"))

    emissions.wait_until(lambda: "COMPLETED" in statuses(emissions, here), 15)
    assert (record(agent, here).is_here, record(agent, there).is_here) == (False, True)
    assert record(agent, there).task == "scan"


def test_the_stored_start_of_a_task_elsewhere_moves_the_agent(in_context: Flask, emissions, agent, rooms) -> None:
    here, there, _ = rooms
    report(agent, here)
    [(version, _)] = limiter.allocate_versions([(agent, here)])
    data = f'{{"agentId":"{agent}","task":"next","status":"RUNNING","version":"{version + 1}"}}'

    limiter.emit(there, EventType.AGENT_TASK_UPDATE, data, limiter.StoredEvent(1, "start"))

    assert (record(agent, here).is_here, record(agent, there).task) == (False, "next")
    emissions.wait_until(lambda: statuses(emissions, there) == ["RUNNING"], 15)


def test_versions_of_one_request_rise_in_its_order_whatever_the_rooms(in_context: Flask, agent, rooms) -> None:
    report(agent, rooms[0])
    places = [(agent, rooms[1]), (agent, rooms[0]), (agent, rooms[2]), (agent, rooms[1])]

    versions = [version for version, _ in limiter.allocate_versions(places)]

    assert all(after - before >= 2 for before, after in pairwise(versions))
    assert locate(room_scripts().nodes, [agent]) == [rooms[0]], "nothing is stored yet"


def test_a_version_is_above_those_of_both_rooms_of_an_agent_whose_location_was_lost(
    in_context: Flask, agent, rooms
) -> None:
    """The clock of the server of its earlier room was ahead."""
    here, there, _ = rooms
    report(agent, here)
    redis_client().delete(agent_keys(agent)[0])
    report(agent, there)
    known = record(agent, here)
    ahead = known.version + 60_000_000
    fields = (known.next_allowed, known.pending, ahead, known.task_version, known.epoch, 1, known.task)
    redis_client().hset(room_key(here, "agents"), agent, " ".join(map(str, fields)))

    [(version, _)] = limiter.allocate_versions([(agent, here)])

    assert locate(room_scripts().nodes, [agent]) == [there]
    assert version > ahead


def test_an_agent_of_a_memory_that_has_just_begun_waits_a_second(in_context: Flask, emissions, agent, rooms) -> None:
    """Its server was emptied: it may have been told of a moment ago, in a room that another server knows."""
    redis_client().delete(agent_keys(agent)[1])
    report(agent, rooms[0])

    assert record(agent, rooms[0]).next_allowed > _now() + 500_000


def _now() -> int:
    seconds, micros = redis_client().time()
    return seconds * 1_000_000 + micros


def test_the_location_of_an_agent_that_stays_is_renewed_each_day(in_context: Flask, agent, rooms) -> None:
    report(agent, rooms[0])
    client, key = redis_client(), agent_keys(agent)[0]
    before = record(agent, rooms[0]).version
    client.pexpire(key, 1000)
    report(agent, rooms[0])
    assert client.pttl(key) <= 1000

    yesterday = before - 86_400_000_000
    client.hset(room_key(rooms[0], "agents"), agent, f"0 0 {yesterday} {yesterday} {before} 1 scan")
    report(agent, rooms[0])

    assert client.pttl(key) > 7 * 86_400_000
    assert read_agents(room_scripts().nodes, [agent])[0].protocol_id == rooms[0]


def test_agents_that_leave_rooms_to_forget_are_bounded(in_context: Flask, agent) -> None:
    """Crashes can leave at most eight rooms to leave; the oldest goes first."""
    scripts, rooms = room_scripts(), [unique("P") for _ in range(12)]
    for room in rooms:
        scripts.run(Call("locate", agent_keys(agent), (room, 0, "")))

    previous = redis_client().hget(agent_keys(agent)[0], "previous").decode().split()

    assert previous == rooms[3:11]


def test_a_batch_takes_one_command_however_many_rooms_it_has_and_one_for_each_partition_in_a_cluster(
    in_context: Flask, monkeypatch: pytest.MonkeyPatch, rooms: list[str]
) -> None:
    reports = [limiter.RunningReport(f"B{n}", rooms[n % 3], "scan", DATA % (f"B{n}", "scan")) for n in range(9)]
    assert {each.agent_id for each, _ in limiter.report(reports).starts} == {each.agent_id for each in reports}
    trips: list[int] = []
    nodes, execute = room_scripts().nodes, room_scripts().nodes.execute
    monkeypatch.setattr(nodes, "execute", lambda calls: trips.append(len(calls)) or execute(calls))
    monkeypatch.setattr(nodes, "call", lambda *_: pytest.fail("a round trip of its own"))

    partitions, wanted = len(set(map(partition_of, rooms))), []
    for is_cluster in (nodes.is_cluster, True):
        monkeypatch.setattr(nodes, "is_cluster", is_cluster)
        others = [limiter.RunningReport(each.agent_id, each.protocol_id, "next", "{") for each in reports[4:6]]
        assert limiter.report(reports).starts == []
        taken = limiter.report([*reports[:4], *others, *reports[6:]])
        assert {(each.agent_id, each.task) for each, _ in taken.starts} == {("B4", "next"), ("B5", "next")}
        limiter.report(reports)
        wanted += [partitions if is_cluster else 1] * 3

    assert trips == wanted


def test_a_room_whose_keys_are_broken_fails_no_report_of_another_room_in_the_batch(
    in_context: Flask, rooms: list[str]
) -> None:
    reports = [limiter.RunningReport(unique("A"), room, "scan", DATA % ("A", "scan")) for room in rooms]
    limiter.report(reports)
    broken = next(each for each in reports if [*map(partition_of, rooms)].count(partition_of(each.protocol_id)) == 1)
    latest = room_key(broken.protocol_id, "latest")
    redis_client().delete(latest)
    redis_client().set(latest, "no hash")

    assert list(limiter.report(reports).failed) == [broken.agent_id]
