"""Which processes and clients are there, by what Redis is told of them: counted, forgotten in time, named in order."""

from types import SimpleNamespace

import pytest

from app.core.extensions import redis_client
from app.observability import process_registry
from app.realtime import missed_deliveries
from app.sockets import presence
from tests.factories import unique


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


def here(rooms: list[str | None], busy: dict[str, int] | None = None) -> SimpleNamespace:
    """This process's connections, each in a room or in none."""
    connections = [SimpleNamespace(protocol_id=each) for each in rooms]
    return SimpleNamespace(all=lambda: connections, busy=lambda: busy or {}, elsewhere={})


def test_connections_are_counted_by_room_over_all_living_processes(in_context, monkeypatch):
    presence.announce(here(["P1", "P1", "P2", None]))
    monkeypatch.setattr(presence, "PROCESS_ID", "another")
    presence.announce(here(["P1"]))
    assert presence.connections_by_protocol() == {"P1": 3, "P2": 1}
    presence.announce(here([]))
    assert presence.connections_by_protocol() == {"P1": 2, "P2": 1}


def test_what_other_processes_told_of_crowds_is_learned_and_ones_own_is_not(in_context, monkeypatch):
    first = here([], {"token t": 5})
    presence.announce(first)
    assert first.elsewhere == {}
    monkeypatch.setattr(presence, "PROCESS_ID", "another")
    second = here([], {"token t": 7, "address a": 1})
    presence.announce(second)
    assert second.elsewhere == {"token t": 5}
    monkeypatch.undo()
    presence.announce(first)
    assert first.elsewhere == {"token t": 7, "address a": 1}


def test_a_process_that_says_nothing_for_fifteen_seconds_is_forgotten(in_context, monkeypatch):
    presence.announce(here(["P1"]))
    now = presence.time.time()
    with monkeypatch.context() as later:
        later.setattr(presence.time, "time", lambda: now + 14.5)
        assert presence.connections_by_protocol() == {"P1": 1}
        later.setattr(presence.time, "time", lambda: now + 15.5)
        assert presence.connections_by_protocol() == {}
        later.setattr(presence, "PROCESS_ID", "another")
        presence.announce(here([]))
    assert redis_client().zrange(presence.PROCESSES_KEY, 0, -1) == [b"another"]


def test_what_a_process_told_ends_with_it(in_context):
    presence.announce(here(["P1"], {"token t": 5}))
    for prefix in ("presence:", "crowded:"):
        assert 0 < redis_client().ttl(prefix + presence.PROCESS_ID) <= 15


def test_living_parts_are_listed_by_kind_and_name_and_forgotten_in_time(in_context, monkeypatch):
    process_registry.announce("worker", "w@host")
    process_registry.announce("web", "host")
    process_registry.announce("beat")
    listed = process_registry.living()
    assert [each["kind"] for each in listed] == ["beat", "web", "worker"]
    assert listed[2]["process"].startswith("w@host:")
    assert listed[0]["process"].split(":")[0] != ""
    assert all(each["version"] and each["python"] for each in listed)
    now = process_registry.time.time()
    monkeypatch.setattr(process_registry.time, "time", lambda: now + 14.5)
    assert len(process_registry.living()) == 3
    monkeypatch.setattr(process_registry.time, "time", lambda: now + 15.5)
    assert process_registry.living() == []
    process_registry.announce("web", "host")
    assert redis_client().zcard(process_registry.PARTS_KEY) == 1


def undelivered(protocol_id: str, caplog) -> list[str]:
    caplog.clear()
    caplog.set_level("INFO", "app.realtime.missed_deliveries")
    missed_deliveries.log_undelivered(
        [{"protocolId": protocol_id, "seq": "7", "eventType": "vuln:status_changed", "processes": "1"}]
    )
    [told] = [each for each in caplog.records if each.message == "event.undelivered"]
    assert (told.room, told.seq, told.eventType) == (f"protocol:{protocol_id}", "7", "vuln:status_changed")
    return told.clients


def test_who_missed_an_event_is_named_the_latest_first_and_until_it_is_back(in_context, caplog, monkeypatch):
    protocol_id, now = unique("P"), missed_deliveries.time.time()
    for number, client in enumerate(("a", "b", "c")):
        monkeypatch.setattr(missed_deliveries.time, "time", lambda number=number: now + number)
        missed_deliveries.record_disconnect(protocol_id, client)
    assert undelivered(protocol_id, caplog) == ["c", "b", "a"]
    missed_deliveries.record_return(protocol_id, "b")
    assert undelivered(protocol_id, caplog) == ["c", "a"]


def test_where_nobody_is_known_to_be_away_the_event_reached_nobody(in_context, caplog, counted):
    before = counted("dashboard_events_undelivered_total")
    assert undelivered(unique("P"), caplog) == ["nobody connected"]
    assert counted("dashboard_events_undelivered_total") == before + 1


def test_the_latest_hundred_that_went_away_are_kept_for_five_minutes_and_twenty_are_named(
    in_context, caplog, monkeypatch
):
    protocol_id, now = unique("P"), missed_deliveries.time.time()
    for number in range(103):
        monkeypatch.setattr(missed_deliveries.time, "time", lambda number=number: now + number)
        missed_deliveries.record_disconnect(protocol_id, f"c{number}")
    key = missed_deliveries.absent_key(protocol_id)
    assert redis_client().zcard(key) == 100
    assert redis_client().zrange(key, 0, 0) == [b"c3"]
    assert 290 < redis_client().ttl(key) <= 300
    assert undelivered(protocol_id, caplog) == [f"c{number}" for number in range(102, 82, -1)]
