"""The room limiter with several publishers and beats at once: its limits hold in every window of Redis's clock."""

import json

import pytest

from app.core.extensions import redis_client
from app.realtime import emitter, limiter, room_groups
from app.realtime.events import EventType
from app.realtime.redis_keys import room_key
from tests.factories import make_protocol, unique
from tests.support.redis_clock import age_memory
from tests.support.room_reader import reading

pytestmark = pytest.mark.database("sqlite")  # the limiter uses Redis only

LIMIT = 10
CAPACITY = 100


def publish(protocol_id: str, count: int = 1) -> list[dict[str, str]]:
    """Publish at once; returns what was dropped."""
    dropped = []
    for number in range(count):
        outcome = limiter.emit(protocol_id, EventType.BOUNTY_POOL_UPDATED, f'{{"version":"{number}"}}')
        dropped += outcome.dropped
    return dropped


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_with_3_publishers_and_2_beats_no_second_has_more_than_10_events_and_each_publishers_order_is_kept(
    api, loads, emissions
) -> None:
    protocol_id = make_protocol(api)
    publishers = loads.run(*[("publish", protocol_id, 25, 20, f"publisher-{n}") for n in range(3)])
    loads.run(*[("tick", 40, interval) for interval in (200, 1000)])

    loads.finish(publishers)
    left = emissions.wait_for(protocol_id, 75, 60)

    assert emissions.most_a_second(protocol_id) == LIMIT
    assert [each.seq for each in left] == list(range(1, 76))
    for source in range(3):
        own = [each.members["version"] for each in left if each.members["paymentId"].startswith(f"publisher-{source}:")]
        assert own == [str(number) for number in range(25)]


def test_ten_events_leave_at_once_and_the_eleventh_waits(api, in_context, emissions) -> None:
    protocol_id = make_protocol(api)
    publish(protocol_id, 11)

    left = emissions.wait_for(protocol_id, LIMIT, 5)

    assert [each.seq for each in left] == list(range(1, 11))
    assert limiter.drain().emitted == {}


def test_a_full_room_never_emits_20_events_in_a_second_after_a_pause(api, in_context, emissions, sleeping) -> None:
    protocol_id = make_protocol(api)
    publish(protocol_id, 5)
    sleeping(0.7)
    publish(protocol_id, 10)
    for _ in range(30):
        sleeping(0.05)
        limiter.drain()

    assert emissions.most_a_second(protocol_id) == LIMIT
    assert len(emissions.of(protocol_id)) == 15


def test_the_101st_waiting_event_drops_the_oldest_with_a_warning_and_a_count(
    api, in_context, emissions, caplog, counted
) -> None:
    """Events also leave during publishing, more on a slower machine: their number is read, not assumed."""
    protocol_id = make_protocol(api)
    before = counted("dashboard_events_dropped_total")

    def lost():
        return [each for each in caplog.records if each.message == "event.dropped"]

    published = 0
    while not lost():
        waiting = redis_client().llen(room_key(protocol_id, "queue"))
        kind = EventType.VULN_STATUS_CHANGED if waiting == CAPACITY else EventType.BOUNTY_POOL_UPDATED
        emitter.emit(protocol_id, kind, f'{{"version":"{published}"}}')
        published += 1

    assert waiting == CAPACITY
    assert redis_client().llen(room_key(protocol_id, "queue")) == CAPACITY
    oldest_waiting = published - CAPACITY
    assert [(each.levelname, each.room, each.seq, each.eventType) for each in lost()] == [
        ("WARNING", f"protocol:{protocol_id}", str(oldest_waiting), "bounty_pool:updated")
    ]
    assert counted("dashboard_events_dropped_total") == before + 1


def test_a_new_event_is_queued_behind_waiting_ones(api, in_context, emissions, sleeping) -> None:
    protocol_id = make_protocol(api)
    publish(protocol_id, 40)
    sleeping(1.1)
    publish(protocol_id)

    seqs = [each.seq for each in emissions.of(protocol_id)]

    assert seqs == sorted(seqs)
    assert 41 not in seqs


def test_rooms_do_not_share_their_budgets(api, in_context, emissions) -> None:
    rooms = [make_protocol(api) for _ in range(5)]
    for room in rooms:
        publish(room, 12)
    assert [len(emissions.wait_for(room, LIMIT, 5)) for room in rooms] == [LIMIT] * 5


def test_a_stored_event_is_emitted_once_however_often_it_is_relayed(api, in_context, emissions) -> None:
    protocol_id = make_protocol(api)
    for position in (1, 2, 2, 1, 3, 3):
        limiter.emit(
            protocol_id,
            EventType.BOUNTY_POOL_UPDATED,
            f'{{"version":"{position}"}}',
            limiter.StoredEvent(position, str(position)),
        )

    left = emissions.wait_for(protocol_id, 3, 5)

    assert [each.members["version"] for each in left] == ["1", "2", "3"]


def test_a_room_remembers_its_last_500_stored_events(in_context) -> None:
    room = unique("P")
    for position in range(1, 503):
        limiter.emit(room, EventType.BOUNTY_POOL_UPDATED, "{}", limiter.StoredEvent(position, str(position)))

    remembered = redis_client().lrange(room_key(room, "relayed"), 0, -1)

    assert (len(remembered), remembered[0]) == (500, b"502")


def test_a_room_whose_number_redis_lost_goes_on_far_above_the_old_one(api, in_context, valkey, settings) -> None:
    protocol_id = make_protocol(api)
    publish(protocol_id, 3)
    assert limiter.current_seq(protocol_id) == "3"

    with valkey.client(int(settings.redis_url.rpartition("/")[2])) as client:
        client.flushdb()
        age_memory(client)
    publish(protocol_id)

    assert int(limiter.current_seq(protocol_id)) > 1_000_000_000


@pytest.mark.parametrize("text", ["@seq@ %1 %%", "two  spaces ", "ünïcödé \\n \\u0000"])
def test_any_text_in_the_data_is_published_unchanged(api, in_context, text) -> None:
    protocol_id = make_protocol(api)
    with reading(redis_client(), protocol_id) as room:
        limiter.emit(protocol_id, EventType.BOUNTY_POOL_UPDATED, f'{{"reference":"{text}"}}')
        [event] = room.wait_for(1)

    assert event["data"] == json.loads(f'{{"reference":"{text}"}}')


def test_an_unknown_room_can_be_drained_and_read_without_harm(in_context) -> None:
    assert limiter.drain().delay_us is None
    assert int(limiter.current_seq(unique("P"))) > 0


def test_a_redis_that_forgot_the_scripts_gets_them_again_and_answers_the_same_call(api, in_context) -> None:
    protocol_id = make_protocol(api)
    limiter.emit(protocol_id, EventType.BOUNTY_POOL_UPDATED, "{}")
    redis_client().script_flush()

    assert limiter.current_seq(protocol_id) == "1"


def test_a_drain_ends_with_the_rooms_that_were_due_when_it_began(in_context, monkeypatch) -> None:
    """However long it takes: it asks each partition once."""
    asked = []
    monkeypatch.setattr(limiter, "due_rooms", lambda *_: asked.append(1) or [(9, "P1"), (5, "P2"), (1, "P3")])
    monkeypatch.setattr(room_groups, "ROOMS_PER_CALL", 2)

    assert limiter.drain().emitted == {}
    assert asked == [1]
