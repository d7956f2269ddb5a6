"""Deliveries do not pile up, and secrets follow a rotation of the key."""

import secrets
import time
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, text, update

from app.core.database import transaction, utc_now
from app.core.extensions import db
from app.realtime.outbox import OutboxEvent
from app.webhooks import encryption, retention
from app.webhooks.backlog import overdue_webhooks, read_webhooks
from app.webhooks.models import Webhook as WebhookRow
from app.webhooks.models import WebhookDelivery
from tests.factories import deposit
from tests.support.api import Api
from tests.support.readings import values_of
from tests.webhooks.conftest import Deliveries, MakeWebhook, Webhook

AGES = {"old": timedelta(days=30, minutes=1), "new": timedelta(days=29)}


def change(app: Flask, delivery_id: str, **values: Any) -> None:
    with app.app_context(), transaction() as session:
        session.execute(update(WebhookDelivery).where(WebhookDelivery.id == delivery_id).values(**values))


def finish(app: Flask, delivery_id: str, age: timedelta = timedelta()) -> None:
    change(app, delivery_id, status="SUCCEEDED", next_attempt_at=None, finished_at=utc_now() - age)


def run(app: Flask) -> tuple[int, int]:
    with app.app_context():
        return retention.maintain(time.monotonic() + 60), retention.delete_old(time.monotonic() + 60)


def rows(app: Flask, model: type[Any]) -> int:
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(model)) or 0


def test_finished_deliveries_are_kept_for_a_month_and_the_newest_of_a_webhook(
    app: Flask, *, api: Api, protocol_id: str, webhook: Webhook, deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(6):
        deposit(api, protocol_id, "1.00")
    old, new, waiting, *others = [each["id"] for each in deliveries(webhook)]
    finish(app, old, AGES["old"])
    for each in (new, *others):
        finish(app, each, AGES["new"])

    assert run(app) == (0, 1)
    assert rows(app, WebhookDelivery) == 5
    monkeypatch.setattr(retention, "MAX_FINISHED", 3)
    assert run(app) == (0, 1)
    assert [each["id"] for each in deliveries(webhook)] == [waiting, *others]


def test_a_deleted_webhook_goes_with_its_deliveries(
    app: Flask, api: Api, protocol_id: str, webhook: Webhook, deliveries: Deliveries
) -> None:
    deposit(api, protocol_id, "1.00")
    deliveries(webhook)
    api.owner.call("DELETE", f"/webhooks/{webhook['id']}").expect(204)

    assert run(app) == (0, 1)
    assert (rows(app, WebhookRow), rows(app, WebhookDelivery)) == (0, 0)


def test_what_waits_a_month_for_a_disabled_webhook_fails(
    app: Flask, api: Api, protocol_id: str, webhook: Webhook, deliveries: Deliveries
) -> None:
    for _ in range(2):
        deposit(api, protocol_id, "1.00")
    first, _ = deliveries(webhook)
    change(app, first["id"], next_attempt_at=utc_now() - AGES["old"])
    assert run(app) == (0, 0)
    api.owner.post(f"/webhooks/{webhook['id']}/disable").expect(200)

    assert run(app) == (1, 0)
    failed, waiting = deliveries(webhook)
    assert (failed["status"], failed["error"]) == ("FAILED", retention.NOT_SENT)
    assert waiting["status"] == "PENDING"


def test_a_webhook_with_too_many_pending_deliveries_is_disabled(
    app: Flask, *, api: Api, protocol_id: str, webhook: Webhook, deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        deposit(api, protocol_id, "1.00")
    deliveries(webhook)
    monkeypatch.setattr(retention.rules, "MAX_PENDING", 3)
    assert run(app) == (0, 0)
    monkeypatch.setattr(retention.rules, "MAX_PENDING", 2)

    assert run(app) == (1, 0)
    shown = api.owner.get(f"/webhooks/{webhook['id']}").expect(200)
    assert (shown["status"], shown["disabledReason"]) == ("DISABLED", "More than 2 deliveries were pending.")


@pytest.mark.database("sqlite")
def test_secrets_are_encrypted_anew_with_the_present_key(app: Flask, api: Api, make_webhook: MakeWebhook) -> None:
    webhook, other = make_webhook(), make_webhook()
    rotated = api.owner.post(f"/webhooks/{webhook['id']}/rotate-secret").expect(200)
    before = app.extensions["dashboard_config"]
    after = type(before)(signing_key=before.signing_key, webhook_encryption_key=secrets.token_hex(32))
    with app.app_context(), transaction() as session:
        session.execute(update(WebhookRow).where(WebhookRow.id == other["id"]).values(secret="0011223344556677.x"))

    app.extensions["dashboard_config"] = after
    try:
        assert run(app) == (2, 0)
        assert run(app) == (0, 0)
    finally:
        app.extensions["dashboard_config"] = before

    only_new = type(before)(webhook_encryption_key=after.webhook_encryption_key)
    with app.app_context():
        row = db.session.get_one(WebhookRow, webhook["id"])
        assert encryption.decrypt(only_new, row.id, row.secret) == rotated["secret"]
        assert encryption.decrypt(only_new, row.id, row.previous_secret or "") == webhook["secret"]
    unreadable = api.owner.get(f"/webhooks/{other['id']}").expect(200)
    assert unreadable["status"] == "DISABLED"
    assert "rotate the secret" in unreadable["disabledReason"]
    api.owner.post(f"/webhooks/{other['id']}/rotate-secret").expect(200)
    assert api.owner.post(f"/webhooks/{other['id']}/enable").expect(200)["status"] == "ENABLED"


def test_the_gauges_show_what_waits_and_how_late_it_is(
    app: Flask, api: Api, protocol_id: str, webhook: Webhook, deliveries: Deliveries
) -> None:
    def gauges() -> dict[str, dict[str, float]]:
        with app.app_context():
            return {each.name.removeprefix("dashboard_webhook"): values_of(each) for each in read_webhooks()}

    assert {value for values in gauges().values() for value in values.values()} == {0.0, 1.0}
    for _ in range(3):
        deposit(api, protocol_id, "1.00")
    with app.app_context(), transaction() as session:
        session.execute(update(OutboxEvent).values(created_at=utc_now() - timedelta(seconds=500)))
    assert gauges()["_events_waiting"] == {"": 3.0}
    assert 500 <= gauges()["_oldest_due_seconds"][""] < 560

    first, *_ = deliveries(webhook)
    change(app, first["id"], next_attempt_at=utc_now() - timedelta(seconds=1000))

    with app.app_context():
        (overdue,) = overdue_webhooks(5)
    assert (overdue.webhook_id, overdue.protocol_id, overdue.count) == (webhook["id"], protocol_id, 3)
    assert 1000 <= overdue.seconds < 1060
    found = gauges()
    assert (found["_events_waiting"], found["_deliveries_pending"]) == ({"": 0.0}, {"": 3.0})
    assert 1000 <= found["_oldest_due_seconds"][""] < 1060
    with app.app_context(), transaction() as session:  # a running attempt, and a pause after failures
        session.execute(update(WebhookDelivery).values(lease_until=utc_now() + timedelta(seconds=60)))
    assert gauges()["_oldest_due_seconds"] == {"": 0.0}
    with app.app_context(), transaction() as session:
        session.execute(update(WebhookDelivery).values(lease_until=None))
        session.execute(update(WebhookRow).values(next_allowed_at=utc_now() + timedelta(seconds=60)))
    assert gauges()["_oldest_due_seconds"] == {"": 0.0}
    api.owner.post(f"/webhooks/{webhook['id']}/disable").expect(200)
    assert gauges() == {
        "s": {"ENABLED": 0.0, "DISABLED": 1.0},
        "_events_waiting": {"": 0.0},
        "_deliveries_pending": {"": 0.0},
        "_oldest_due_seconds": {"": 0.0},
    }
    with app.app_context():
        assert db.session.execute(text("SELECT COUNT(*) FROM webhook_deliveries")).scalar_one() == 3
