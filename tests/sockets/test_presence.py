"""Connections are counted across processes, and the clients that missed an event are named in the log."""

from types import SimpleNamespace

import pytest

from app.core.extensions import redis_client
from app.observability import process_registry
from app.realtime import emitter
from app.realtime.redis_keys import room_key
from app.sockets.connections import Connections, connections_by_protocol
from tests.factories import unique

pytestmark = pytest.mark.database("sqlite")


def here(protocol_ids: list[str | None], crowded: dict[str, int] | None = None) -> SimpleNamespace:
    """This process's connections, each in a protocol's room or in none."""
    opened = [SimpleNamespace(protocol_id=each) for each in protocol_ids]
    return SimpleNamespace(all=lambda: opened, crowded=lambda: crowded or {}, elsewhere={})


def pass_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the registry see its records this much later."""
    records, now = process_registry._read()
    monkeypatch.setattr(process_registry, "_read", lambda: ({k: dict(v) for k, v in records.items()}, now + seconds))


def test_connections_are_summed_by_protocol_over_all_live_processes(in_context, monkeypatch):
    Connections.announce(here(["P1", "P1", "P2", None]))
    monkeypatch.setattr(process_registry, "unique_id", lambda: "another")
    Connections.announce(here(["P1"]))
    assert connections_by_protocol() == {"P1": 3, "P2": 1}
    Connections.announce(here([]))
    assert connections_by_protocol() == {"P1": 2, "P2": 1}


def test_a_process_reads_the_crowded_tokens_and_addresses_of_the_others_only(in_context, monkeypatch):
    first = here([], {"token t": 5})
    Connections.announce(first)
    assert first.elsewhere == {}
    with monkeypatch.context() as other_process:
        other_process.setattr(process_registry, "unique_id", lambda: "another")
        second = here([], {"token t": 7, "address a": 1})
        Connections.announce(second)
    assert second.elsewhere == {"token t": 5}
    Connections.announce(first)
    assert first.elsewhere == {"token t": 7, "address a": 1}


@pytest.mark.parametrize(("seconds", "counted"), [(14.5, {"P1": 1}), (15.5, {})])
def test_a_process_counts_until_it_has_been_silent_for_fifteen_seconds(in_context, monkeypatch, seconds, counted):
    Connections.announce(here(["P1"]))
    pass_time(monkeypatch, seconds)
    assert connections_by_protocol() == counted


def test_the_counts_of_a_process_expire_with_it(in_context):
    Connections.announce(here(["P1"], {"token t": 5}))
    for prefix in ("presence:", "crowded:"):
        assert 0 < redis_client().ttl(prefix + process_registry.unique_id()) <= 15


def test_processes_are_listed_by_kind_and_name_with_their_versions(in_context, monkeypatch):
    for kind in ("worker", "web", "beat"):
        monkeypatch.setattr(process_registry, "unique_id", lambda kind=kind: kind)
        process_registry.announce(kind, (kind,))
    listed = process_registry.known()
    assert [each.kind for each in listed] == ["beat", "web", "worker"]
    assert all(each.version and each.python and not each.is_silent for each in listed)
    pass_time(monkeypatch, 15.5)
    assert [each.is_silent for each in process_registry.known()] == [True] * 3
    pass_time(monkeypatch, 300)
    assert process_registry.known() == []


def set_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(emitter, "redis_clock", lambda: SimpleNamespace(now=lambda: seconds))


def undelivered(protocol_id: str, caplog) -> list[str]:
    caplog.clear()
    caplog.set_level("INFO", "app.realtime.emitter")
    emitter.log_undelivered(
        [{"protocolId": protocol_id, "seq": "7", "eventType": "vuln:status_changed", "processes": "1"}]
    )
    [record] = [each for each in caplog.records if each.message == "event.undelivered"]
    assert (record.room, record.seq, record.eventType) == (f"protocol:{protocol_id}", "7", "vuln:status_changed")
    return record.clients


def test_clients_that_missed_an_event_are_named_latest_first_until_they_return(in_context, caplog, monkeypatch):
    protocol_id = unique("P")
    for number, client in enumerate(("a", "b", "c")):
        set_time(monkeypatch, number)
        emitter.record_disconnect(protocol_id, client)
    assert undelivered(protocol_id, caplog) == ["c", "b", "a"]
    emitter.record_return(protocol_id, "b")
    assert undelivered(protocol_id, caplog) == ["c", "a"]


def test_an_event_without_disconnected_clients_is_logged_as_nobody_connected(in_context, caplog, counted):
    before = counted("dashboard_events_undelivered_total")
    assert undelivered(unique("P"), caplog) == ["nobody connected"]
    assert counted("dashboard_events_undelivered_total") == before + 1


def test_the_latest_hundred_disconnected_clients_are_kept_for_five_minutes_and_twenty_are_named(
    in_context, caplog, monkeypatch
):
    protocol_id = unique("P")
    for number in range(103):
        set_time(monkeypatch, number)
        emitter.record_disconnect(protocol_id, f"c{number}")
    key = room_key(protocol_id, "disconnected")
    assert redis_client().zcard(key) == 100
    assert redis_client().zrange(key, 0, 0) == [b"c3"]
    assert 290 < redis_client().ttl(key) <= 300
    assert undelivered(protocol_id, caplog) == [f"c{number}" for number in range(102, 82, -1)]
