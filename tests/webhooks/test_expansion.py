"""Stored events become deliveries: each once for each matching webhook, none forgotten, whatever dies."""

import json
import time
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from sqlalchemy import event, func, select, text, update

from app.config import Config
from app.core.database import transaction, utc_now
from app.core.extensions import db
from app.realtime.outbox import OutboxEvent
from app.webhooks import expansion
from app.webhooks.models import WebhookDelivery
from tests.factories import deposit, file_vulnerability, make_protocol, report
from tests.support import documents
from tests.support.api import Api
from tests.support.money import at_once, own_api
from tests.webhooks.conftest import Deliveries, MakeWebhook, Webhook


def bodies(app: Flask, webhook: Webhook) -> list[dict[str, Any]]:
    with app.app_context():
        query = select(WebhookDelivery.body).where(WebhookDelivery.webhook_id == webhook["id"])
        return [json.loads(body) for body in db.session.scalars(query.order_by(WebhookDelivery.position))]


def check_documented(bodies: list[dict[str, Any]]) -> None:
    """What is delivered is what OpenAPI's `webhooks` describe."""
    document = documents.openapi_offline()
    described = {each["post"]["summary"]: each["post"] for each in document["webhooks"].values()}
    for body in bodies:
        schema = described[f"Receive {body['type']}"]["requestBody"]["content"]["application/json"]["schema"]
        Draft202012Validator({**schema, "components": document["components"]}).validate(body)


def types(found: list[dict[str, Any]]) -> list[str]:
    return [each["eventType"] for each in found]


def count(app: Flask, model: type[Any]) -> int:
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(model)) or 0


def test_the_body_is_the_rooms_event_as_it_was_stored(
    app: Flask, api: Api, protocol_id: str, webhook: Webhook, deliveries: Deliveries
) -> None:
    deposit(api, protocol_id, "1000.00", reference='Café "Ω" \\')

    (delivery,) = deliveries(webhook)
    (body,) = bodies(app, webhook)

    with app.app_context():
        stored = db.session.scalars(select(OutboxEvent)).one()
        assert body["data"] == json.loads(stored.data_json)
    assert list(body) == ["type", "timestamp", "protocolId", "data"]
    assert (body["type"], body["protocolId"]) == ("bounty_pool:updated", protocol_id)
    assert body["data"]["reference"] == 'Café "Ω" \\'
    assert body["timestamp"].endswith("Z")
    assert body["timestamp"] <= delivery["createdAt"]
    assert (delivery["status"], delivery["attempts"], delivery["history"]) == ("PENDING", "0", [])


def test_a_webhook_gets_what_its_filters_name_and_ends_of_tasks_alone(
    app: Flask, *, api: Api, protocol_id: str, agent_id: str, make_webhook: MakeWebhook, deliveries: Deliveries
) -> None:
    everything, critical, tasks = (
        make_webhook(eventTypes=["*", "bounty_pool:updated"]),
        make_webhook(eventTypes=["vuln:discovered", "bounty_pool:updated"], severities=["CRITICAL"]),
        make_webhook(eventTypes=["agent:task_update"]),
    )
    agent = api.agent(agent_id)
    deposit(api, protocol_id, "100.00")
    file_vulnerability(api, protocol_id, severity="LOW")
    file_vulnerability(api, protocol_id, severity="CRITICAL", bounty="5.00")
    agent.post(f"/agents/{agent_id}/progress", report(protocol_id)).expect(202)
    done = report(protocol_id, status="COMPLETED", nextTask="next")
    agent.post(f"/agents/{agent_id}/progress", done).expect(202)
    failed = report(protocol_id, "next", status="FAILED", error="It broke.")
    agent.post(f"/agents/{agent_id}/progress", failed).expect(202)

    pool, found, task = "bounty_pool:updated", "vuln:discovered", "agent:task_update"
    assert everything["eventTypes"] == ["*"]
    assert types(deliveries(everything)) == [pool, found, found, pool, task, task]
    check_documented(bodies(app, everything))
    assert types(deliveries(critical)) == [pool, found, pool]
    assert types(deliveries(tasks)) == [task, task]


def test_a_webhook_gets_no_event_from_before_it_was_made(
    app: Flask, api: Api, protocol_id: str, make_webhook: MakeWebhook, deliveries: Deliveries
) -> None:
    deposit(api, protocol_id, "1.00")
    first = make_webhook()
    deposit(api, protocol_id, "2.00")
    second = make_webhook()
    deposit(api, protocol_id, "3.00")

    deliveries(first)

    assert [body["data"]["amount"] for body in bodies(app, first)] == ["2.00", "3.00"]
    assert [body["data"]["amount"] for body in bodies(app, second)] == ["3.00"]


def test_a_protocol_without_webhooks_costs_nothing(app: Flask, api: Api, protocol_id: str) -> None:
    statements: list[str] = []
    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    deposit(api, protocol_id, "1.00")

    assert len(statements) >= 2
    assert not [each for each in statements if "webhook" in each]
    with app.app_context():
        assert expansion.expand() == 0
        assert db.session.execute(text("SELECT COUNT(*) FROM webhook_cursors")).scalar_one() == 0


def test_concurrent_expansion_and_deposits_deliver_each_event_once(
    app: Flask, settings: Config, protocol_id: str, webhook: Webhook, deliveries: Deliveries
) -> None:
    def add() -> None:
        deposit(own_api(app, settings), protocol_id, "1.00")

    def expand() -> None:
        with app.app_context():
            expansion.expand()

    at_once(4, [add, expand] * 20)

    assert len(deliveries(webhook)) == 20
    assert sorted(int(body["data"]["version"]) for body in bodies(app, webhook)) == list(range(1, 21))


def test_an_expansion_that_dies_leaves_nothing_half_done(
    app: Flask,
    *,
    api: Api,
    protocol_id: str,
    webhook: Webhook,
    deliveries: Deliveries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(5):
        deposit(api, protocol_id, "1.00")
    monkeypatch.setattr(expansion, "BATCH", 2)
    made = expansion._expand_batch

    def die_in_the_second(*args: Any) -> tuple[int, int]:
        result = made(*args)
        if count(app, WebhookDelivery) == 2:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(expansion, "_expand_batch", die_in_the_second)
    with app.app_context(), pytest.raises(KeyboardInterrupt):
        expansion.expand()
    monkeypatch.setattr(expansion, "_expand_batch", made)

    assert count(app, WebhookDelivery) == 2
    assert len(deliveries(webhook)) == 5


def test_the_outbox_keeps_old_events_until_they_are_expanded(
    app: Flask, api: Api, protocol_id: str, webhook: Webhook, deliveries: Deliveries
) -> None:
    other = make_protocol(api)
    for each in (protocol_id, other):
        deposit(api, each, "1.00")
    with app.app_context():
        with transaction() as session:
            session.execute(update(OutboxEvent).values(published_at=utc_now() - timedelta(days=8)))
        assert expansion.delete_published_events(time.monotonic() + 60) == 1
    assert count(app, OutboxEvent) == 1

    assert len(deliveries(webhook)) == 1

    with app.app_context():
        assert expansion.delete_published_events(time.monotonic() + 60) == 1
