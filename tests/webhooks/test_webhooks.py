"""REST of webhooks: created, listed, rotated, enabled, disabled, deleted; secrets shown once."""

import base64
import re
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text, update

from app.config import Config
from app.core.database import transaction
from app.core.extensions import db
from app.http.idempotency import IdempotencyKey
from app.webhooks import encryption
from app.webhooks.models import Webhook as WebhookRow
from app.webhooks.models import WebhookDelivery
from app.webhooks.rules import DisableCause
from app.webhooks.service import disable_for
from tests.factories import deposit, make_protocol
from tests.support.api import Api
from tests.support.money import at_once, own_api
from tests.webhooks.conftest import URL, Deliveries, MakeWebhook, Webhook

SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{32}")


def audited(api: Api, protocol_id: str) -> list[str]:
    entries = api.admin.get(f"/audit?protocolId={protocol_id}").expect(200)["items"]
    return [entry["action"] for entry in entries[::-1] if entry["action"].startswith("WEBHOOK")]


def stored_secret(app: Flask, settings: Config, webhook_id: str) -> tuple[str, str]:
    with app.app_context():
        row = db.session.get_one(WebhookRow, webhook_id, populate_existing=True)
        db.session.rollback()
        return encryption.decrypt(settings, webhook_id, row.secret), row.secret


def test_the_secret_is_shown_once_and_stored_encrypted(
    app: Flask, settings: Config, api: Api, protocol_id: str, make_webhook: MakeWebhook
) -> None:
    created = make_webhook(severities=["CRITICAL"], description="Incidents")

    shown = created.pop("secret")
    assert SECRET.fullmatch(shown)
    assert len(base64.b64decode(shown.removeprefix("whsec_"))) == 24
    assert created.items() >= {
        "protocolId": protocol_id, "url": URL, "eventTypes": ["*"], "severities": ["CRITICAL"], "status": "ENABLED",
        "description": "Incidents", "disabledReason": None,
    }.items()  # fmt: skip
    assert api.owner.get(f"/webhooks/{created['id']}").expect(200) == created
    assert api.owner.get(f"/protocols/{protocol_id}/webhooks").expect(200)["items"] == [created]
    plain, stored = stored_secret(app, settings, created["id"])
    assert plain == shown
    assert shown.removeprefix("whsec_") not in stored
    assert shown not in str(api.admin.get("/audit").expect(200))


def test_a_repeated_request_gets_the_same_secret_which_is_not_stored_with_its_key(
    app: Flask, api: Api, protocol_id: str
) -> None:
    path, body = f"/protocols/{protocol_id}/webhooks", {"url": URL, "eventTypes": ["*"]}

    first = api.owner.post(path, body, Idempotency_Key="k1").expect(201)
    again = api.owner.post(path, body, Idempotency_Key="k1")
    rotate = f"/webhooks/{first['id']}/rotate-secret"
    rotated = api.owner.post(rotate, Idempotency_Key="k2").expect(200)

    assert again.headers["idempotent-replayed"] == "true"
    assert again.expect(201) == first
    assert rotated["secret"] != first["secret"]
    assert api.owner.post(rotate, Idempotency_Key="k2").expect(200) == rotated
    assert len(api.owner.get(path).expect(200)["items"]) == 1
    with app.app_context():
        stored = str([(row.body, row.resume) for row in db.session.scalars(select(IdempotencyKey))])
    assert not SECRET.search(stored)


INVALID: list[tuple[str, Any]] = [
    ("url", "http://hooks.example/"), ("url", "ftp://hooks.example/"), ("url", "https://user:pw@hooks.example/"),
    ("url", "https://127.0.0.1/"), ("url", "https://10.1.2.3/"), ("url", "https://[::1]/"), ("url", "https://2130706433/"),
    ("url", "https://[::ffff:169.254.169.254]/"), ("url", "https://localhost./"), ("url", "https:///x"), ("url", 7),
    ("url", "https://hooks.example:0/"), ("url", "https://hooks.example/" + "x" * 2048), ("url", None),
    ("eventTypes", []), ("eventTypes", ["agent:task_updates"]), ("eventTypes", None), ("eventTypes", "*"),
    ("severities", []), ("severities", ["WORST"]), ("description", 7), ("secret", "whsec_mine"),
]  # fmt: skip


@pytest.mark.database("sqlite")
def test_an_invalid_webhook_is_refused_by_field(api: Api, protocol_id: str) -> None:
    path = f"/protocols/{protocol_id}/webhooks"

    answers = [api.owner.post(path, {"url": URL, "eventTypes": ["*"]} | {field: value}) for field, value in INVALID]

    named = [(answer.status, next(iter(answer.json["errors"])).partition(".")[0]) for answer in answers]
    assert named == [(422, field) for field, _ in INVALID]
    assert api.owner.get(path).expect(200)["items"] == []


@pytest.mark.database("sqlite")
def test_operators_allow_networks_and_http(app_with: Any) -> None:
    api = app_with(WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8, fd00:1::/32", WEBHOOK_ALLOW_HTTP="1")
    path = f"/protocols/{make_protocol(api)}/webhooks"

    for url in ("http://127.0.0.1:8080/hook", "http://[fd00:1::5]/", "https://hooks.example/"):
        api.owner.post(path, {"url": url, "eventTypes": ["*"]}).expect(201)
    assert api.owner.post(path, {"url": "http://10.0.0.1/", "eventTypes": ["*"]}).status == 422


def test_of_concurrent_requests_only_twenty_make_a_webhook(app: Flask, settings: Config, protocol_id: str) -> None:
    def create() -> int:
        api = own_api(app, settings)
        return api.owner.post(f"/protocols/{protocol_id}/webhooks", {"url": URL, "eventTypes": ["*"]}).status

    statuses = at_once(4, [create] * 24)

    assert (statuses.count(201), statuses.count(409)) == (20, 4)
    api = own_api(app, settings)
    answer = api.owner.post(f"/protocols/{protocol_id}/webhooks", {"url": URL, "eventTypes": ["*"]})
    assert answer.code == "TOO_MANY_WEBHOOKS"
    listed = api.owner.get(f"/protocols/{protocol_id}/webhooks?limit=15").expect(200)
    more = api.owner.get(f"/protocols/{protocol_id}/webhooks?cursor={listed['nextCursor']}").expect(200)
    assert (len(listed["items"]), len(more["items"]), more["nextCursor"]) == (15, 5, None)
    assert api.owner.call("DELETE", f"/webhooks/{listed['items'][0]['id']}").status == 204
    assert api.owner.post(f"/protocols/{protocol_id}/webhooks", {"url": URL, "eventTypes": ["*"]}).status == 201


def test_rotation_keeps_the_previous_secret_for_a_day(app: Flask, settings: Config, api: Api, webhook: Webhook) -> None:
    rotated = api.owner.post(f"/webhooks/{webhook['id']}/rotate-secret").expect(200)

    assert rotated["previousSecretExpiresAt"] > rotated["createdAt"]
    with app.app_context():
        row = db.session.get_one(WebhookRow, webhook["id"])
        present, previous = (
            encryption.decrypt(settings, row.id, each or "") for each in (row.secret, row.previous_secret)
        )
        assert row.previous_secret_expires_at
        day = (row.previous_secret_expires_at - row.created_at).total_seconds()
    assert (present, previous) == (rotated["secret"], webhook["secret"])
    assert 86_400 <= day < 86_400 + 60


def test_a_disabled_webhook_gets_no_events_and_is_enabled_again(
    api: Api, protocol_id: str, webhook: Webhook, deliveries: Deliveries
) -> None:
    path = f"/webhooks/{webhook['id']}"
    disabled = api.owner.post(f"{path}/disable").expect(200)
    deposit(api, protocol_id, "1.00")

    assert (disabled["status"], disabled["disabledReason"]) == ("DISABLED", "Disabled by owner-1.")
    assert deliveries(webhook) == []
    assert api.owner.post(f"{path}/test").code == "WEBHOOK_DISABLED"
    assert api.owner.post(f"{path}/disable").expect(200) == disabled
    enabled = api.owner.post(f"{path}/enable").expect(200)
    deposit(api, protocol_id, "2.00")
    assert (enabled["status"], enabled["disabledReason"]) == ("ENABLED", None)
    assert [each["eventType"] for each in deliveries(webhook)] == ["bounty_pool:updated"]
    assert audited(api, protocol_id) == ["WEBHOOK_CREATED", "WEBHOOK_DISABLED", "WEBHOOK_ENABLED"]


@pytest.mark.database("sqlite")
def test_a_deleted_webhook_is_unknown(
    app: Flask, api: Api, protocol_id: str, webhook: Webhook, deliveries: Deliveries
) -> None:
    deposit(api, protocol_id, "1.00")
    (delivery,) = deliveries(webhook)

    assert api.owner.call("DELETE", f"/webhooks/{webhook['id']}").status == 204

    calls = [("GET", ""), ("DELETE", ""), ("GET", "/deliveries"), *(("POST", f"/{each}") for each in ACTIONS)]
    codes = {api.owner.call(method, f"/webhooks/{webhook['id']}{path}").code for method, path in calls}
    assert codes == {"WEBHOOK_NOT_FOUND"}
    assert api.owner.post(f"/webhook-deliveries/{delivery['id']}/redeliver").code == "WEBHOOK_DELIVERY_NOT_FOUND"
    assert api.owner.get(f"/protocols/{protocol_id}/webhooks").expect(200)["items"] == []
    with app.app_context():
        assert db.session.execute(text("SELECT secret, previous_secret FROM webhooks")).all() == [("", None)]
    assert audited(api, protocol_id) == ["WEBHOOK_CREATED", "WEBHOOK_DELETED"]


ACTIONS = ("rotate-secret", "test", "enable", "disable")


@pytest.mark.database("sqlite")
def test_a_webhook_of_another_protocol_does_not_exist(
    api: Api, protocol_id: str, webhook: Webhook, deliveries: Deliveries
) -> None:
    deposit(api, protocol_id, "1.00")
    (delivery,) = deliveries(webhook)
    outsider = api.as_("owner", protocols=["other"])
    calls = [("GET", ""), ("DELETE", ""), ("GET", "/deliveries"), *(("POST", f"/{each}") for each in ACTIONS)]

    for method, path in calls:
        assert outsider.call(method, f"/webhooks/{webhook['id']}{path}").code == "WEBHOOK_NOT_FOUND"
        assert api.viewer.call(method, f"/webhooks/{webhook['id']}{path}").status == 403
    answer = outsider.post(f"/webhook-deliveries/{delivery['id']}/redeliver")
    assert answer.code == "WEBHOOK_DELIVERY_NOT_FOUND"


def test_the_worker_disables_a_webhook_once_and_says_why(
    app: Flask, api: Api, protocol_id: str, webhook: Webhook
) -> None:
    with app.app_context():
        first, second = (disable_for(webhook["id"], DisableCause.GONE, "It is gone.") for _ in range(2))

    assert (first, second) == (True, False)
    shown = api.owner.get(f"/webhooks/{webhook['id']}").expect(200)
    assert (shown["status"], shown["disabledReason"]) == ("DISABLED", "It is gone.")
    entry = api.admin.get(f"/audit?protocolId={protocol_id}&action=WEBHOOK_DISABLED").expect(200)["items"][0]
    assert (entry["subject"], entry["after"]["disabledReason"]) == ("system", "It is gone.")


@pytest.mark.database("sqlite")
def test_a_test_event_is_delivered_whatever_the_filters_say(
    app: Flask, api: Api, protocol_id: str, make_webhook: MakeWebhook, deliveries: Deliveries
) -> None:
    webhook = make_webhook(eventTypes=["vuln:discovered"])

    sent = api.owner.post(f"/webhooks/{webhook['id']}/test").expect(202)

    assert (sent["eventType"], sent["status"], sent["attempts"]) == ("webhook:test", "PENDING", "0")
    assert deliveries(webhook) == [sent]
    with app.app_context():
        body = db.session.execute(text("SELECT body FROM webhook_deliveries")).scalar_one()
    assert f'"protocolId":"{protocol_id}","data":{{"webhookId":"{webhook["id"]}"' in body
    for _ in range(19):
        api.owner.post(f"/webhooks/{webhook['id']}/test").expect(202)
    assert api.owner.post(f"/webhooks/{webhook['id']}/test").status == 429


def test_a_redelivery_keeps_id_and_body_and_is_due_at_once(
    app: Flask, api: Api, protocol_id: str, webhook: Webhook, deliveries: Deliveries
) -> None:
    deposit(api, protocol_id, "1.00")
    (delivery,) = deliveries(webhook)
    history = [{"at": delivery["createdAt"], "responseCode": 500, "durationMs": 7, "error": "HTTP 500"}]
    with app.app_context(), transaction() as session:
        end = "status='FAILED', failures=11, attempts=11, next_attempt_at=NULL, finished_at=created_at"
        session.execute(text(f"UPDATE webhook_deliveries SET {end}"))
        session.execute(update(WebhookRow).values(next_allowed_at=WebhookRow.created_at))
        row = db.session.get_one(WebhookDelivery, delivery["id"])
        row.history, row.response_code = history, 500
    (failed,) = deliveries(webhook)

    again = api.owner.post(f"/webhook-deliveries/{delivery['id']}/redeliver").expect(202)

    assert (failed["status"], failed["nextAttemptAt"], failed["responseCode"]) == ("FAILED", None, "500")
    assert failed["history"] == [history[0] | {"responseCode": "500", "durationMs": "7"}]
    assert (again["id"], again["status"], again["attempts"]) == (delivery["id"], "PENDING", "11")
    assert again["nextAttemptAt"] >= delivery["createdAt"]
    assert again["finishedAt"] is None
    (listed,) = api.owner.get(f"/webhooks/{webhook['id']}/deliveries?status=PENDING").expect(200)["items"]
    assert listed == again
    assert api.owner.get(f"/webhooks/{webhook['id']}/deliveries?status=FAILED").expect(200)["items"] == []
    with app.app_context():
        assert db.session.execute(text("SELECT failures FROM webhook_deliveries")).scalar_one() == 0
        assert db.session.execute(text("SELECT next_allowed_at FROM webhooks")).scalar_one() is None
    assert audited(api, protocol_id) == ["WEBHOOK_CREATED", "WEBHOOK_REDELIVERED"]
