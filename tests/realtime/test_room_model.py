"""The room scripts agree with a reference model in every reply, message and key, over hundreds of random steps."""

import random
from datetime import UTC, datetime

import pytest
import redis

from app.realtime import scripts
from app.realtime.events import EventType
from app.realtime.redis_keys import CHANNEL_PREFIX, CONTROL_CHANNEL
from tests.factories import unique
from tests.support.agent_model import MOST_IDENTITIES, WINDOW
from tests.support.room_model import MOST_UPDATES
from tests.support.room_steps import Checked, Steps
from tests.support.seeds import SEED

STEPS = 300


@pytest.fixture
def checked(redis_url, request):
    """At a random date from 1973 to 2109, so that the timestamps of many years are compared."""
    start = random.Random(f"{SEED} {request.node.name}").randrange(10**14, 44 * 10**14)
    rooms = [unique("P") for _ in range(3)]
    with redis.Redis.from_url(redis_url) as client, client.pubsub() as pubsub:
        pubsub.subscribe(CONTROL_CHANNEL)
        made = Checked(client, pubsub, rooms, start)
        made.model.listeners.add(CONTROL_CHANNEL)
        yield made


@pytest.mark.parametrize("is_calm", [True, False])
@pytest.mark.parametrize("round_", [1, 2])
def test_the_scripts_do_what_the_model_does_at_every_random_step(checked, round_, is_calm) -> None:
    Steps(checked, f"{SEED}/{round_}", is_calm=is_calm).run(STEPS)


def test_a_batch_and_a_correction_after_a_clock_step_take_a_thousand_agents(checked) -> None:
    id_ = checked.rooms[0]
    agents = [f"A{number:04}" for number in range(MOST_UPDATES + 1)]
    checked.listen(f"{CHANNEL_PREFIX}~{id_}")
    checked.report([(agent, id_, "scan", '{"status":"RUNNING"') for agent in agents], packed=True)
    for _ in range(3):
        checked.emitting("drain", None, 100, None)
        checked.wait(WINDOW)
    checked.wait(0, clock_step=-3_600_000_000)
    checked.emitting("drain", None, 100, None)
    checked.check_keys()


def test_the_identities_of_the_last_five_hundred_stored_events_are_known(checked) -> None:
    id_, event = checked.rooms[0], EventType.BOUNTY_POOL_UPDATED
    for position in range(1, MOST_IDENTITIES + 2):
        checked.emitting("emit", None, id_, position, f"event {position}", event, "{}")
    assert checked.emitting("emit", None, id_, 1, "event 1", event, "{}") == "behind"
    assert checked.emitting("emit", None, id_, 2, "event 2", event, "{}") != "behind"
    checked.check_keys()


def test_the_hashes_of_all_agents_are_hash_tables_after_the_first_report(checked) -> None:
    checked.report([("A1", checked.rooms[0], "scan", '{"status":"RUNNING"')], packed=True)
    keys = ("agents:version", "agents:task", "agents:next_allowed")
    assert [checked.client.object("encoding", key) for key in keys] == [b"hashtable"] * 3


def test_the_scripts_write_dates_as_python_does(checked) -> None:
    """Leap years, ends of months and years, and milliseconds."""
    source = scripts.source("drain")
    calendar = source[source.index("local function iso_timestamp(") :]
    calendar = calendar[: calendar.index("\nend\n") + 5]
    days = [(2024, 2, 28), (2024, 2, 29), (2024, 3, 1), (2025, 2, 28), (2025, 3, 1), (2025, 12, 31), (2026, 1, 1)]
    days += [(2000, 2, 29), (2100, 2, 28), (2100, 3, 1), (2099, 12, 31), (2254, 12, 31), (1970, 1, 1), (2026, 11, 30)]
    days += [(2027, month, day) for month in range(1, 13) for day in (1, 28)] + [(2096, 2, 29), (2000, 3, 1)]
    days += [(2027, month, 31) for month in (1, 3, 5, 7, 8, 10, 12)] + [(2254, 2, 28), (2254, 3, 1)]
    clocks = [(0, 0, 0, 0), (23, 59, 59, 999_999), (12, 34, 56, 1_999), (9, 5, 7, 78_000), (0, 59, 0, 0)]
    moments = [datetime(*day, *clock, tzinfo=UTC) for day in days for clock in clocks]
    micros = [int(each.timestamp()) * 1_000_000 + each.microsecond for each in moments]

    script = (
        calendar
        + "local dates = {} for i, at in ipairs(ARGV) do dates[i] = iso_timestamp(tonumber(at)) end return dates"
    )
    dates = checked.client.eval(script, 0, *micros)

    wanted = [each.isoformat(timespec="milliseconds").replace("+00:00", "Z") for each in moments]
    assert [each.decode() for each in dates] == wanted
