"""Gauges of webhooks, read for each scrape of `/metrics`. Deliveries of disabled webhooks do not count: none is due."""

from sqlalchemy import func, select

from app.core.database import database_now
from app.core.extensions import db
from app.observability.collectors import Reading
from app.realtime.outbox import EventCounter
from app.webhooks.models import Webhook, WebhookCursor, WebhookDelivery
from app.webhooks.rules import DeliveryStatus, WebhookStatus

_SHOWN = (WebhookStatus.ENABLED.value, WebhookStatus.DISABLED.value)


def read_webhooks() -> list[Reading]:
    """Raises SQLAlchemyError."""
    counted = select(Webhook.status, func.count()).where(Webhook.status.in_(_SHOWN)).group_by(Webhook.status)
    by_status = dict.fromkeys(_SHOWN, 0.0) | {status: float(count) for status, count in db.session.execute(counted)}
    is_enabled = (Webhook.id == WebhookDelivery.webhook_id) & (Webhook.status == WebhookStatus.ENABLED.value)
    oldest_due = func.min(WebhookDelivery.next_attempt_at)
    pending = select(func.count(), oldest_due, database_now()).select_from(WebhookDelivery).join(Webhook, is_enabled)
    count, oldest, now = db.session.execute(pending.where(WebhookDelivery.status == DeliveryStatus.PENDING.value)).one()
    age = max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
    is_its = EventCounter.protocol_id == WebhookCursor.protocol_id
    behind = select(func.sum(EventCounter.position - WebhookCursor.position)).join(WebhookCursor, is_its)
    events = float(db.session.execute(behind).scalar_one() or 0)
    return [
        Reading("dashboard_webhooks", "Webhooks, by status", by_status, "status"),
        Reading("dashboard_webhook_events_waiting", "Stored events not yet expanded into deliveries", {"": events}),
        Reading("dashboard_webhook_deliveries_pending", "Deliveries not yet finished", {"": float(count)}),
        Reading("dashboard_webhook_oldest_due_seconds", "How late the most overdue delivery is", {"": age}),
    ]
