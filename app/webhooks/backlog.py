"""What waits to be delivered: gauges for `/metrics`, and the overdue webhooks that `dashboard doctor` names.

A delivery is overdue when an attempt is allowed and none runs: its own time and its endpoint's pause have passed. What
waits for a disabled webhook is not due.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, case, func, or_, select

from app.core.extensions import db
from app.core.sql_types import database_now
from app.observability.collectors import Reading
from app.realtime.outbox import EventCounter, OutboxEvent
from app.webhooks.models import Webhook, WebhookCursor, WebhookDelivery
from app.webhooks.rules import DeliveryStatus, WebhookStatus

_SHOWN = (WebhookStatus.ENABLED.value, WebhookStatus.DISABLED.value)
_pause_ends_later = Webhook.next_allowed_at > WebhookDelivery.next_attempt_at
_due_at = case((_pause_ends_later, Webhook.next_allowed_at), else_=WebhookDelivery.next_attempt_at)
_is_pending = and_(
    Webhook.id == WebhookDelivery.webhook_id,
    Webhook.status == WebhookStatus.ENABLED.value,
    WebhookDelivery.status == DeliveryStatus.PENDING.value,
)


@dataclass(frozen=True)
class Overdue:
    """A webhook, how many of its deliveries are overdue, and for how long the first is."""

    webhook_id: str
    protocol_id: str
    count: int
    seconds: float


def read_webhooks() -> list[Reading]:
    """Raises SQLAlchemyError."""
    counted = select(Webhook.status, func.count()).where(Webhook.status.in_(_SHOWN)).group_by(Webhook.status)
    by_status = dict.fromkeys(_SHOWN, 0.0) | {status: float(count) for status, count in db.session.execute(counted)}
    pending = db.session.scalar(select(func.count()).select_from(WebhookDelivery).join(Webhook, _is_pending))
    events, event_age = _unexpanded()
    age = max([event_age, *(each.seconds for each in overdue_webhooks(1))])
    return [
        Reading("dashboard_webhooks", "Webhooks, by status", by_status, "status"),
        Reading("dashboard_webhook_events_waiting", "Stored events without their deliveries yet", {"": events}),
        Reading("dashboard_webhook_deliveries_pending", "Deliveries not yet finished", {"": float(pending or 0)}),
        Reading("dashboard_webhook_oldest_due_seconds", "How late the most overdue delivery or event is", {"": age}),
    ]


def overdue_webhooks(limit: int) -> list[Overdue]:
    """The webhooks with the most overdue deliveries, the latest first. Raises SQLAlchemyError."""
    now = database_now()
    is_overdue = and_(_due_at <= now, or_(WebhookDelivery.lease_until.is_(None), WebhookDelivery.lease_until <= now))
    oldest = func.min(_due_at)
    query = select(Webhook.id, Webhook.protocol_id, func.count(), oldest, now).join(WebhookDelivery, _is_pending)
    query = query.where(is_overdue).group_by(Webhook.id, Webhook.protocol_id).order_by(oldest).limit(limit)
    rows = db.session.execute(query).tuples()
    return [Overdue(webhook, protocol, count, _seconds(since, now)) for webhook, protocol, count, since, now in rows]


def _unexpanded() -> tuple[float, float]:
    """The number of events without deliveries yet, and the age of the oldest. Positions have no gaps."""
    mine, behind = WebhookCursor.protocol_id, EventCounter.position - WebhookCursor.position
    counter = and_(EventCounter.protocol_id == mine, behind > 0)
    following = and_(OutboxEvent.protocol_id == mine, OutboxEvent.position == WebhookCursor.position + 1)
    query = select(func.sum(behind), func.min(OutboxEvent.created_at), database_now()).select_from(WebhookCursor)
    waiting, oldest, now = db.session.execute(query.join(EventCounter, counter).join(OutboxEvent, following)).one()
    return float(waiting or 0), _seconds(oldest, now)


def _seconds(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0
