"""What is deleted with time, and what never is."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from app.auth.idempotency import IdempotencyKey
from app.bounties.models import LedgerEntry
from app.database import transaction, utc_now
from app.extensions import db
from app.realtime import retention
from app.realtime.outbox import OutboxEvent
from tasks.retention import forget
from tests.factories import deposit, make_protocol
from tests.support.api import Api
from tests.support.databases import unguard_ledger


def count(model: Any) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def age(model: Any, column: Any, when: datetime) -> None:
    with transaction() as session:
        session.execute(update(model).values({column: when}))


@pytest.fixture
def two_deposits(api: Api, in_context: Flask) -> str:
    protocol_id = make_protocol(api)
    for key in ("first", "second"):
        body = {"amount": "5.00"}
        api.owner.post(f"/protocols/{protocol_id}/deposits", body, Idempotency_Key=key).expect(201)
    return protocol_id


def test_an_idempotency_key_is_forgotten_after_a_day_and_not_before(two_deposits: str) -> None:
    age(IdempotencyKey, IdempotencyKey.created_at, utc_now() - timedelta(hours=23, minutes=59))
    forget()
    assert count(IdempotencyKey) == 2

    age(IdempotencyKey, IdempotencyKey.created_at, utc_now() - timedelta(hours=24, minutes=1))
    forget()
    assert count(IdempotencyKey) == 0


def test_a_told_event_is_forgotten_after_a_week_and_not_before(two_deposits: str) -> None:
    age(OutboxEvent, OutboxEvent.published_at, utc_now() - timedelta(days=6, hours=23))
    forget()
    assert count(OutboxEvent) == 2

    age(OutboxEvent, OutboxEvent.published_at, utc_now() - timedelta(days=7, minutes=1))
    forget()
    assert count(OutboxEvent) == 0


def test_an_event_that_reached_no_room_is_kept_for_good(two_deposits: str) -> None:
    with transaction() as session:
        long_ago = utc_now() - timedelta(days=400)
        session.execute(update(OutboxEvent).values(published_at=None, created_at=long_ago))

    forget()

    assert count(OutboxEvent) == 2


def test_the_ledger_is_kept_for_good(two_deposits: str) -> None:
    age_of_ledger = utc_now() - timedelta(days=4000)
    with transaction() as session:
        unguard_ledger(session)
        session.execute(update(LedgerEntry).values(created_at=age_of_ledger))

    forget()

    assert count(LedgerEntry) == 2


def test_more_events_than_a_batch_are_forgotten_in_one_go(
    api: Api, in_context: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    protocol_id = make_protocol(api)
    for _ in range(5):
        deposit(api, protocol_id, "1.00")
    age(OutboxEvent, OutboxEvent.published_at, utc_now() - timedelta(days=8))

    assert retention.delete_old_events() == 5
