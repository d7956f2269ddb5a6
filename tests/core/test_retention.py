"""Which rows are deleted with time, and which never."""

import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from app.agents.models import AgentTask
from app.auth.revocation import RevokedToken
from app.core import database
from app.core.database import transaction, utc_now
from app.core.extensions import db
from app.core.values import iso_timestamp
from app.http.idempotency import IdempotencyKey
from app.protocols.models import LedgerEntry
from app.realtime import outbox
from app.realtime.outbox import OutboxEvent
from tasks import forget
from tests.factories import deposit, make_agent, make_protocol, report
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


def test_an_idempotency_key_is_deleted_after_a_day_and_not_before(two_deposits: str) -> None:
    age(IdempotencyKey, IdempotencyKey.created_at, utc_now() - timedelta(hours=23, minutes=59))
    forget()
    assert count(IdempotencyKey) == 2

    age(IdempotencyKey, IdempotencyKey.created_at, utc_now() - timedelta(hours=24, minutes=1))
    forget()
    assert count(IdempotencyKey) == 0


def test_a_published_event_is_deleted_after_a_week_and_not_before(two_deposits: str) -> None:
    age(OutboxEvent, OutboxEvent.published_at, utc_now() - timedelta(days=6, hours=23))
    forget()
    assert count(OutboxEvent) == 2

    age(OutboxEvent, OutboxEvent.published_at, utc_now() - timedelta(days=7, minutes=1))
    forget()
    assert count(OutboxEvent) == 0


def test_an_unpublished_event_is_never_deleted(two_deposits: str) -> None:
    with transaction() as session:
        long_ago = utc_now() - timedelta(days=400)
        session.execute(update(OutboxEvent).values(published_at=None, created_at=long_ago))

    forget()

    assert count(OutboxEvent) == 2


def test_the_ledger_is_never_deleted(two_deposits: str) -> None:
    age_of_ledger = utc_now() - timedelta(days=4000)
    with transaction() as session:
        unguard_ledger(session)
        session.execute(update(LedgerEntry).values(created_at=age_of_ledger))

    forget()

    assert count(LedgerEntry) == 2


def test_one_run_deletes_more_events_than_a_batch(api: Api, in_context: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "DELETE_BATCH_SIZE", 2)
    protocol_id = make_protocol(api)
    for _ in range(5):
        deposit(api, protocol_id, "1.00")
    age(OutboxEvent, OutboxEvent.published_at, utc_now() - timedelta(days=8))

    assert outbox.delete_published(time.monotonic() + 60) == 5


def test_a_run_that_reaches_its_deadline_leaves_the_rest_to_the_next(
    api: Api, two_deposits: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "DELETE_BATCH_SIZE", 1)
    monkeypatch.setattr(database, "DELETE_PAUSE_SECONDS", 5.0)
    age(OutboxEvent, OutboxEvent.published_at, utc_now() - timedelta(days=8))

    runs = [outbox.delete_published(time.monotonic() + 0.5) for _ in range(2)]

    assert (runs, count(OutboxEvent)) == ([1, 1], 0)


def test_closed_tasks_are_deleted_after_90_days_and_open_ones_are_kept(api: Api, in_context: Flask) -> None:
    protocol_id, agent_id = make_protocol(api), make_agent(api)
    for name in ("done", "next"):
        api.admin.post(f"/agents/{agent_id}/tasks", {"protocolId": protocol_id, "name": name}).expect(201)
    body = report(protocol_id, "done", status="COMPLETED")
    api.agent(agent_id).post(f"/agents/{agent_id}/progress", body).expect(202)
    with transaction() as session:
        long_ago = utc_now() - timedelta(days=91)
        session.execute(update(AgentTask).values(created_at=long_ago, started_at=long_ago))
        session.execute(update(AgentTask).where(AgentTask.closed_at.is_not(None)).values(closed_at=long_ago))

    forget()

    assert db.session.scalars(select(AgentTask.name)).all() == ["next"]


def test_a_revocation_is_deleted_a_day_after_its_token_expired(api: Api, in_context: Flask) -> None:
    now = utc_now()
    for hours in (-25, -23, 1):
        until = iso_timestamp(now + timedelta(hours=hours))
        api.admin.post("/tokens/revoke", {"jti": f"t{hours}", "reason": "r", "expiresAt": until}).expect(201)
    api.admin.post("/tokens/revoke", {"jti": "unknown expiry", "reason": "r"}).expect(201)
    api.admin.post("/tokens/revoke", {"subject": "carol", "reason": "left"}).expect(201)

    forget()

    kept = db.session.scalars(select(RevokedToken).order_by(RevokedToken.id)).all()
    assert [each.token_id or each.subject for each in kept] == ["t-23", "t1", "unknown expiry", "carol"]
    age(RevokedToken, RevokedToken.expires_at, now - timedelta(days=2))
    forget()
    assert count(RevokedToken) == 0


def test_no_token_is_valid_for_longer_than_a_revocation_is_kept(api: Api) -> None:
    old = api.as_("viewer", iat=int(time.time()) - 401 * 24 * 3600, ttl=3600)
    young = api.as_("viewer", iat=int(time.time()) - 399 * 24 * 3600, ttl=3600)
    assert (old.get("/protocols").code, young.get("/protocols").status) == ("TOKEN_EXPIRED", 200)
