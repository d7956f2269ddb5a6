"""What the operators' page is told of rooms: the age of the oldest event that waits, in Redis or in the database."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from app.core.database import transaction, utc_now
from app.core.extensions import db
from app.realtime.outbox import OutboxEvent
from tests.factories import deposit, make_protocol
from tests.support.api import Api
from tests.support.emissions import await_marks
from tests.support.machine_speed import patience
from tests.support.processes import until


def room(api: Api, protocol_id: str) -> dict[str, Any]:
    rooms = api.admin.get("//ops/status").json["rooms"]
    return next((each for each in rooms if each["protocolId"] == protocol_id), {})


def test_a_room_tells_since_when_its_oldest_event_waits(api: Api, in_context: Flask) -> None:
    queueing, unsent = make_protocol(api), make_protocol(api)
    for _ in range(12):  # no worker runs here: what ten a second do not take stays in the queue
        deposit(api, queueing, "1.00")
    assert int(room(api, queueing)["queued"]) > 0
    until(lambda: 1 <= float(room(api, queueing)["oldestSeconds"]) < patience(60), 20, "the first queued event ages")

    deposit(api, unsent, "1.00")
    await_marks()
    stored = update(OutboxEvent).where(OutboxEvent.protocol_id == unsent)
    with transaction() as session:
        session.execute(stored.values(published_at=None, created_at=utc_now() - timedelta(minutes=5)))
    assert 300 <= float(room(api, unsent)["oldestSeconds"]) < 300 + patience(60)
    with transaction() as session:
        session.execute(stored.values(published_at=utc_now()))
    assert room(api, unsent).get("oldestSeconds") is None


@pytest.mark.database("sqlite")
def test_without_the_database_the_status_is_still_told(api: Api, monkeypatch: Any) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError("SELECT", {}, OSError("refused"))

    monkeypatch.setattr(db.session, "execute", fail)
    status = api.admin.get("//ops/status").expect(200)
    assert status["readings"]["source_up outbox"] == "0"
