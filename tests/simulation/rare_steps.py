"""What chance rarely does: large rooms, clocks that step at the worst time, calls in the microsecond of an end."""

from collections.abc import Callable

import pytest
from greenlet import greenlet

from app.realtime import limiter, redis_keys, retention, scripts
from tests.simulation.episode import Episode
from tests.simulation.model import LAG, MOST_CORRECTED, RENEWAL, SECOND
from tests.simulation.model_drain import MOST_UPDATES
from tests.simulation.model_room import LIMIT, MOST_IDENTITIES, STORE_AFTER, WINDOW, Room
from tests.simulation.nodes import new_process
from tests.simulation.world import LATENCY, START, Fault, Killed, Observation


def _more_agents_than_a_batch_has(episode: Episode) -> None:
    channel = redis_keys.channel_of("~" + episode.rooms[0])
    episode.world.listen(channel, redis_keys.slot_of_key(channel), 1)
    _report(episode, *(f"B{each}" for each in range(MOST_UPDATES + 2)))
    for _ in range(3):
        _pass(episode, 2 * SECOND)
        limiter.drain()


def _more_agents_than_are_corrected_at_once(episode: Episode) -> None:
    _report(episode, *(f"B{each}" for each in range(MOST_CORRECTED + 2)))
    episode.world.servers[0].offset -= 10 * SECOND
    for _ in range(2):
        limiter.drain()
        episode.check_memory()


def _more_events_than_identities_are_kept(episode: Episode) -> None:
    for _ in range(MOST_IDENTITIES // 100 + 1):
        _store(episode, 100)
        episode.database.relay(episode.rooms[0])


# Clocks
def _a_clock_steps_while_a_process_connects(episode: Episode) -> None:
    old, server = episode.process, episode.world.servers[0]
    for request in range(12):
        episode.process = new = new_process(episode.world)
        episode.world.begin(Fault("pause", request))
        greenlet(limiter.drain).switch()
        episode.world.begin(None)
        episode.process = old
        server.step_clock(2 * SECOND)
        _emit(episode, LIMIT)
        while episode.paused:
            episode.paused.pop().switch()
        episode.process = new
        server.step_clock(2 * SECOND)
        _emit(episode, LIMIT)
        episode.process = old
        for _ in range(LIMIT + 5):
            _pass(episode, WINDOW)
            limiter.drain()


def _a_clock_steps_after_a_request_was_late(episode: Episode) -> None:
    limiter.open_room(episode.rooms[0])
    _pass(episode, 2 * SECOND)
    _emit(episode, LIMIT)
    began, late = episode.world.time, 40_000
    episode.world.delay_before = late
    limiter.current_seq(episode.rooms[0])
    episode.world.delay_before = 0
    episode.world.servers[0].step_clock(2 * SECOND)
    limiter.current_seq(episode.rooms[0])
    _pass(episode, began + WINDOW - late - episode.world.time)
    _emit(episode, LIMIT)


# Exact times
def _reports_in_the_microsecond_of_the_last_version_or_at_the_end_of_an_interval(episode: Episode) -> None:
    _report(episode, "A0")
    _set_wall(episode, _room(episode).agents["A0"].version)
    _report(episode, "A0")
    for interval in (LAG, RENEWAL):
        episode.check_memory()
        _set_wall(episode, (episode.world.wall(episode.world.servers[0]) // interval + 1) * interval)
        for pause in (0, SECOND):
            _pass(episode, pause)
            _report(episode, "A0")


def _reports_within_a_day(episode: Episode) -> None:
    _set_wall(episode, (START // RENEWAL + 1) * RENEWAL)
    for hours in (1, 13, 9, 2, 30):
        _report(episode, "A0")
        _pass(episode, hours * 3600 * SECOND)


def _an_agent_returns_when_its_last_update_is_due(episode: Episode) -> None:
    here, there = episode.rooms[:2]
    _pass(episode, 2 * SECOND)
    _report(episode, "A0")
    _pass(episode, 2 * SECOND)
    limiter.drain()
    _report(episode, "A0")
    _report(episode, "A0", room=there)
    due, observe = _room(episode).waiting["A0"], episode.world.observe

    def wait_until_due(seen: Observation) -> None:
        observe(seen)
        if seen.operation == "leave":
            _pass(episode, due - seen.steady - 2 * LATENCY)

    episode.world.observe = wait_until_due
    _report(episode, "A0", room=here)


def _an_update_is_due_now_in_a_room_without_budget(episode: Episode) -> None:
    room = episode.rooms[0]
    _report(episode, "A0")
    _pass(episode, 2 * SECOND)
    limiter.drain()
    _report(episode, "A0")
    due = _room(episode).waiting["A0"]
    episode.world.time = due - SECOND // 2
    _emit(episode, LIMIT - 1)  # with the agent's update before, within the window
    episode.world.time = due - LATENCY
    episode.process.run(scripts.Call("drain", redis_keys.room_keys(room), (room,)))


def _an_agent_moves_while_a_reply_is_lost(episode: Episode) -> None:
    for request in range(7):
        _report(episode, "A0")
        episode.world.begin(Fault("lose_reply", request))
        _report(episode, "A0", room=episode.rooms[1])
        episode.world.begin(None)


def _moves_that_end_after_their_first_step(episode: Episode) -> None:
    _report(episode, "A0")
    for room in episode.rooms[1:]:
        episode.world.begin(Fault("kill", 2))
        with pytest.raises(Killed):
            _report(episode, "A0", room=room)
        episode.check_memory()


def _an_update_is_stored_again_with_its_version(episode: Episode) -> None:
    _report(episode, "A0")
    ((version, _),) = limiter.allocate_versions([("A0", episode.rooms[0])])
    for status in ("RUNNING", "RUNNING", "COMPLETED"):
        episode.count += 1
        data = f'{{"agentId":"A0","task":"scan","status":"{status}","n":"{episode.count}","version":"{version}"}}'
        episode.database.append(episode.rooms[0], "agent:task_update", data, str(episode.count))
        episode.database.relay(episode.rooms[0])
        episode.check_memory()
        _pass(episode, 2 * SECOND)
        limiter.drain()


def _a_room_emits_when_its_clock_is_to_be_stored(episode: Episode) -> None:
    _pass(episode, 2 * SECOND)
    for pause in (0, STORE_AFTER - 1, STORE_AFTER, STORE_AFTER + 1):
        _emit(episode, 1)
        _pass(episode, pause - 2 * LATENCY)
        _emit(episode, 1)
        episode.check_memory()
        _pass(episode, 2 * WINDOW)


def _a_room_is_forgotten_when_its_silence_ends(episode: Episode) -> None:
    for late in (0, -1):
        limiter.open_room(episode.rooms[0])
        _pass(episode, retention.ROOM_SILENCE_US - 2 * LATENCY + late)
        arguments = (episode.rooms[0], retention.ROOM_SILENCE_US)
        episode.process.run(scripts.Call("forget_room", redis_keys.room_keys(episode.rooms[0]), arguments))
        episode.check_memory()


def _a_room_is_set_back_twice(episode: Episode) -> None:
    limiter.rewind(episode.rooms[0], 0)
    _store(episode, 20)
    episode.database.relay(episode.rooms[0])
    for _ in range(2):
        _pass(episode, SECOND)
        limiter.rewind(episode.rooms[0], 5)
        episode.check_memory()


RARE: dict[str, Callable[[Episode], None]] = {
    made.__name__.strip("_").replace("_", " "): made
    for made in (
        _a_clock_steps_while_a_process_connects,
        _a_clock_steps_after_a_request_was_late,
        _reports_in_the_microsecond_of_the_last_version_or_at_the_end_of_an_interval,
        _reports_within_a_day,
        _an_agent_returns_when_its_last_update_is_due,
        _an_update_is_due_now_in_a_room_without_budget,
        _an_agent_moves_while_a_reply_is_lost,
        _moves_that_end_after_their_first_step,
        _an_update_is_stored_again_with_its_version,
        _a_room_emits_when_its_clock_is_to_be_stored,
        _a_room_is_forgotten_when_its_silence_ends,
        _a_room_is_set_back_twice,
        _more_events_than_identities_are_kept,
        _more_agents_than_a_batch_has,
        _more_agents_than_are_corrected_at_once,
    )
}


def _report(episode: Episode, *agents: str, room: str = "") -> None:
    data = '{{"agentId":"{0}","task":"scan","status":"RUNNING","n":"{0}"'
    limiter.report(
        [limiter.RunningReport(each, room or episode.rooms[0], "scan", data.format(each)) for each in agents]
    )


def _emit(episode: Episode, count: int) -> None:
    for _ in range(count):
        limiter.emit(episode.rooms[0], "vuln:status_changed", '{"n":"0"}')


def _store(episode: Episode, count: int) -> None:
    for _ in range(count):
        episode.count += 1
        data = f'{{"n":"{episode.count}"}}'
        episode.database.append(episode.rooms[0], "vuln:status_changed", data, str(episode.count))


def _room(episode: Episode) -> Room:
    """The first one, in the model."""
    id_ = episode.rooms[0]
    return next(part.rooms[id_] for part in episode.world.servers[0].parts.values() if id_ in part.rooms)


def _set_wall(episode: Episode, wall: int) -> None:
    """What the server's clock shows at the next call."""
    episode.world.servers[0].offset = wall - episode.world.time - LATENCY


def _pass(episode: Episode, time: int) -> None:
    episode.world.time += time
