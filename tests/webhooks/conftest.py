"""Fixtures of the webhooks' tests: a webhook of a protocol, and the deliveries made for it."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from app.webhooks import expansion
from tests.support.api import Api

URL = "https://hooks.example/dashboard"
Webhook = dict[str, Any]
MakeWebhook = Callable[..., Webhook]
Deliveries = Callable[[Webhook], list[dict[str, Any]]]


@pytest.fixture
def make_webhook(api: Api, protocol_id: str) -> MakeWebhook:
    def make(**fields: Any) -> Webhook:
        body = {"url": URL, "eventTypes": ["*"]} | fields
        return api.owner.post(f"/protocols/{protocol_id}/webhooks", body).expect(201)

    return make


@pytest.fixture
def webhook(make_webhook: MakeWebhook) -> Webhook:
    return make_webhook()


@pytest.fixture
def deliveries(app: Flask, api: Api) -> Deliveries:
    """`deliveries(webhook)`: expand what was stored, and list the webhook's deliveries, oldest first."""

    def read(webhook: Webhook) -> list[dict[str, Any]]:
        with app.app_context():
            expansion.expand()
        return api.owner.get(f"/webhooks/{webhook['id']}/deliveries?limit=200").expect(200)["items"][::-1]

    return read
