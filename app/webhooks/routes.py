from typing import Any

from app.auth.authorization import current_principal, requires
from app.auth.permissions import Action
from app.core.errors import TooManyWebhooks, WebhookDisabled, WebhooksNotConfigured
from app.core.pagination import Page, PageQuery
from app.http.idempotency import idempotent
from app.http.rest import Blueprint, raises
from app.webhooks import delivery_requests, service
from app.webhooks.models import Webhook, WebhookDelivery
from app.webhooks.schemas import (
    NewWebhookSchema,
    WebhookAction,
    WebhookCreate,
    WebhookDeliveryPage,
    WebhookDeliveryQuery,
    WebhookDeliverySchema,
    WebhookPage,
    WebhookSchema,
)

blueprint = Blueprint("webhooks", __name__, url_prefix="/api/v1", description="Webhooks")


@blueprint.post("/protocols/<string:protocol_id>/webhooks")
@requires(Action.MANAGE_WEBHOOKS)
@raises(TooManyWebhooks, WebhooksNotConfigured)
@blueprint.arguments(WebhookCreate)
@idempotent(blueprint, 201, NewWebhookSchema)
def create_webhook(fields: dict[str, Any], protocol_id: str) -> Webhook:
    """Create a webhook

    From now on the protocol's stored events are POSTed to the URL, signed as
    [Standard Webhooks](https://www.standardwebhooks.com) says. The response is the only place that shows the secret. A
    protocol has at most 20 webhooks.
    """
    return service.create(protocol_id, fields, current_principal())


@blueprint.get("/protocols/<string:protocol_id>/webhooks")
@requires(Action.MANAGE_WEBHOOKS)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, WebhookPage)
def list_webhooks(query: dict[str, Any], protocol_id: str) -> Page:
    """List a protocol's webhooks, newest first

    Without their secrets.
    """
    return service.list_webhooks(protocol_id, **query)


@blueprint.get("/webhooks/<string:webhook_id>")
@requires(Action.MANAGE_WEBHOOKS)
@blueprint.response(200, WebhookSchema)
def get_webhook(webhook_id: str) -> Webhook:
    """Read a webhook

    A DISABLED one says why in `disabledReason`.
    """
    return service.get(webhook_id, current_principal())


@blueprint.delete("/webhooks/<string:webhook_id>")
@requires(Action.MANAGE_WEBHOOKS)
@blueprint.response(204)
def delete_webhook(webhook_id: str) -> None:
    """Delete a webhook

    With its deliveries; nothing more is sent, besides attempts that are running.
    """
    service.delete(webhook_id, current_principal())


@blueprint.post("/webhooks/<string:webhook_id>/rotate-secret")
@requires(Action.MANAGE_WEBHOOKS)
@raises(WebhooksNotConfigured)
@blueprint.arguments(WebhookAction, required=False)
@idempotent(blueprint, 200, NewWebhookSchema)
def rotate_secret(fields: dict[str, Any], webhook_id: str) -> Webhook:
    """Rotate a webhook's secret

    The response is the only place that shows the new secret. For 24 hours deliveries carry a signature of each: replace
    the secret at the receiver within that time.
    """
    del fields  # always empty
    return service.rotate_secret(webhook_id, current_principal())


@blueprint.post("/webhooks/<string:webhook_id>/test")
@requires(Action.MANAGE_WEBHOOKS)
@raises(WebhookDisabled)
@blueprint.arguments(WebhookAction, required=False)
@idempotent(blueprint, 202, WebhookDeliverySchema)
def send_test(fields: dict[str, Any], webhook_id: str) -> WebhookDelivery:
    """Send a test event

    A delivery of type `webhook:test`, whatever the webhook's filters. Its outcome is in the list of deliveries.
    """
    del fields  # always empty
    return delivery_requests.send_test(webhook_id, current_principal())


@blueprint.post("/webhooks/<string:webhook_id>/enable")
@requires(Action.MANAGE_WEBHOOKS)
@blueprint.arguments(WebhookAction, required=False)
@idempotent(blueprint, 200, WebhookSchema)
def enable_webhook(fields: dict[str, Any], webhook_id: str) -> Webhook:
    """Enable a webhook

    Deliveries that were pending when it was disabled are sent now. Events in between were not kept for it.
    """
    del fields  # always empty
    return service.enable(webhook_id, current_principal())


@blueprint.post("/webhooks/<string:webhook_id>/disable")
@requires(Action.MANAGE_WEBHOOKS)
@blueprint.arguments(WebhookAction, required=False)
@idempotent(blueprint, 200, WebhookSchema)
def disable_webhook(fields: dict[str, Any], webhook_id: str) -> Webhook:
    """Disable a webhook

    Pending deliveries wait until it is enabled; new events are not kept for it.
    """
    del fields  # always empty
    return service.disable(webhook_id, current_principal())


@blueprint.get("/webhooks/<string:webhook_id>/deliveries")
@requires(Action.MANAGE_WEBHOOKS)
@blueprint.arguments(WebhookDeliveryQuery, location="query")
@blueprint.response(200, WebhookDeliveryPage)
def list_deliveries(query: dict[str, Any], webhook_id: str) -> Page:
    """List a webhook's deliveries, newest first

    Each with its attempts. Finished ones are kept for 30 days, the newest 10,000 of a webhook.
    """
    return delivery_requests.list_deliveries(webhook_id, current_principal(), **query)


@blueprint.post("/webhook-deliveries/<string:delivery_id>/redeliver")
@requires(Action.MANAGE_WEBHOOKS)
@raises(WebhookDisabled)
@blueprint.arguments(WebhookAction, required=False)
@idempotent(blueprint, 202, WebhookDeliverySchema)
def redeliver(fields: dict[str, Any], delivery_id: str) -> WebhookDelivery:
    """Deliver again

    The same body with the same `webhook-id`, with all attempts of the schedule. One that waits for its next attempt is
    attempted now.
    """
    del fields  # always empty
    return delivery_requests.redeliver(delivery_id, current_principal())
