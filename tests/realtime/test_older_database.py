"""A database restored from a copy older than Redis: every event stored afterwards is emitted."""

import logging
import sqlite3
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from sqlalchemy import select, update

from app.config import load_config
from app.core.database import transaction
from app.core.extensions import db
from app.realtime import emitter, limiter, outbox, outbox_positions
from app.realtime.events import EventType
from app.realtime.outbox import OutboxEvent
from app.realtime.redis_keys import CONTROL_CHANNEL
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.support import databases
from tests.support.api import Api, InProcess
from tests.support.apps import make_app
from tests.support.emissions import await_marks


@pytest.fixture
def restored(request, app, environment, tmp_path) -> Iterator[Callable[[], Callable[[], Api]]]:
    """`later = restored()` copies the database; `later()` is the system on that copy, with the same Redis."""
    opened = []

    def copy() -> Callable[[], Api]:
        url = environment["DATABASE_URL"]
        with app.app_context():
            db.session.remove()
            db.engine.dispose()
        if url.startswith("sqlite"):
            target = tmp_path / "copy.db"
            source = sqlite3.connect(url.removeprefix("sqlite:///"))
            source.backup(sqlite3.connect(target))
            copied = f"sqlite:///{target}"
        else:
            manager = databases.copy_postgres(request.getfixturevalue("postgres"), url.rpartition("/")[2])
            copied = manager.__enter__()
            opened.append(manager)

        def run() -> Api:
            settings = load_config(environment | {"DATABASE_URL": copied})
            made = make_app(settings)
            opened.append(made)
            return Api(InProcess(made.__enter__()), settings.signing_key)

        return run

    yield copy
    for each in reversed(opened):
        each.__exit__(None, None, None)


def app_of(api: Api) -> Flask:
    return api.transport.client.application


def totals(emissions, protocol_id, count):
    return [each.members["version"] for each in emissions.wait_for(protocol_id, count, 10)]


def test_an_event_stored_after_a_restore_reaches_the_room_although_its_position_was_used(
    api, restored, emissions, caplog
):
    protocol_id = make_protocol(api)
    deposit(api, protocol_id, "1")
    later = restored()
    deposit(api, protocol_id, "2")
    deposit(api, protocol_id, "3")
    assert totals(emissions, protocol_id, 3) == ["1", "2", "3"]

    with caplog.at_level(logging.WARNING):
        deposit(later(), protocol_id, "4")

    assert totals(emissions, protocol_id, 4)[3] == "2"
    assert [each.room for each in caplog.records if each.message == "room.rewound"] == [f"protocol:{protocol_id}"]
    seqs = [each.seq for each in emissions.of(protocol_id)]
    assert seqs[3] > seqs[2] + 1, "clients see a gap"


def test_a_terminal_update_stored_after_a_restore_reaches_the_room(api, restored, emissions):
    protocol_id, agent_id = make_protocol(api), make_agent(api)
    later = restored()
    deposit(api, protocol_id, "1")
    path, done = f"/agents/{agent_id}/progress", report(protocol_id, "scan", status="COMPLETED")

    restored_api = later()
    restored_api.agent(agent_id).post(path, done).expect(202)

    with app_of(restored_api).app_context():
        emitter.drain()
    assert emissions.wait_for(protocol_id, 2, 10)[1].members["status"] == "COMPLETED"


def test_a_room_ahead_of_its_database_is_recognized_by_its_position_and_its_clients_resync(
    api, restored, valkey, emissions
):
    protocol_id, quiet = make_protocol(api), make_protocol(api)
    later = restored()
    deposit(api, quiet, "1")
    restored_api = later()
    deposit(restored_api, protocol_id, "1")
    with valkey.client() as client, client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(CONTROL_CHANNEL)
        listener.get_message(timeout=1)
        with app_of(restored_api).app_context():
            assert outbox_positions.compare_positions() == 1
            assert outbox_positions.compare_positions() == 0
        message = listener.get_message(timeout=5)

    assert message["data"] == f'{{"method":"resync","protocolId":"{quiet}"}}'.encode()


def test_queued_events_of_changes_that_are_gone_are_dropped_and_logged(api, restored, emissions, caplog):
    protocol_id = make_protocol(api)
    later = restored()
    deposit(api, protocol_id, "1")
    deposit(api, protocol_id, "2")
    with app_of(api).app_context():
        for _ in range(20):
            limiter.emit(protocol_id, EventType.BOUNTY_POOL_UPDATED, '{"version":"9"}')

    restored_api = later()
    with caplog.at_level(logging.WARNING):
        deposit(restored_api, protocol_id, "5")

    def is_emitted() -> bool:
        emitter.drain()
        return emissions.of(protocol_id)[-1].members["version"] == "1"

    assert any(each.message == "event.dropped" for each in caplog.records)
    with app_of(restored_api).app_context():
        emissions.wait_until(is_emitted, 10)


def test_events_relayed_again_because_they_were_not_marked_are_emitted_once(api, app, emissions):
    protocol_id = make_protocol(api)
    deposit(api, protocol_id, "1")
    file_vulnerability(api, protocol_id, bounty="1")
    before = len(emissions.wait_for(protocol_id, 3, 10))
    with app.app_context():
        await_marks()
        with transaction() as session:
            session.execute(update(OutboxEvent).values(published_at=None))
        outbox.sweep()
        await_marks()
        assert db.session.scalars(select(OutboxEvent.id).where(OutboxEvent.published_at.is_(None))).all() == []
    deposit(api, protocol_id, "1")

    assert len(emissions.wait_for(protocol_id, before + 1, 10)) == before + 1
