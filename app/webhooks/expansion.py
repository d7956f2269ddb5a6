"""Expands stored events into deliveries: one row per matching webhook, in the transaction that moves the cursor.

An event's position is assigned under its protocol's lock until the commit, so no event appears behind a cursor, and
none is skipped or expanded twice. Who stores an event does nothing for webhooks; without webhooks there is no cursor,
and nothing to do. The outbox keeps an event until it is expanded.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any, cast

import sqlalchemy as sa
import uuid_utils.compat as uuid
from sqlalchemy.orm import Session

from app.core.database import transaction
from app.core.extensions import db
from app.core.sql_types import database_now
from app.core.values import iso_timestamp
from app.realtime import outbox
from app.realtime.outbox import EventCounter, OutboxEvent
from app.webhooks.models import Webhook, WebhookCursor, WebhookDelivery
from app.webhooks.rules import DeliveryStatus, WebhookStatus, body_of, is_delivered, matches

logger = logging.getLogger(__name__)

BATCH = 200
MAX_BATCHES = 5
MAX_PROTOCOLS = 500
_ADD = sa.insert(cast(sa.Table, WebhookDelivery.__table__)).values(
    status=DeliveryStatus.PENDING.value,
    attempts=0,
    failures=0,
    history=[],
    next_attempt_at=database_now(),
    created_at=database_now(),
)
_ENABLED = (
    sa.select(Webhook.id, Webhook.event_types, Webhook.severities, Webhook.since_position)
    .where(Webhook.protocol_id == sa.bindparam("protocol"), Webhook.status == WebhookStatus.ENABLED.value)
    .order_by(Webhook.id)
)
_is_behind = sa.and_(
    WebhookCursor.protocol_id == EventCounter.protocol_id, WebhookCursor.position < EventCounter.position
)


def expand() -> int:
    """Expand new events of up to 500 protocols; returns the number of deliveries made. Raises SQLAlchemyError.

    In any order, and at most a thousand events of each, so that busy protocols do not hold up the others.
    """
    behind = sa.select(WebhookCursor.protocol_id).join(EventCounter, _is_behind)
    behind = behind.order_by(sa.func.random()).limit(MAX_PROTOCOLS)
    protocol_ids = list(db.session.scalars(behind))
    db.session.rollback()
    return sum(map(_expand_protocol, protocol_ids))


def _expand_protocol(protocol_id: str) -> int:
    """One transaction per 200 events, so that no writer waits long for SQLite's lock."""
    made = 0
    for _ in range(MAX_BATCHES):
        with transaction() as session:
            count, deliveries = _expand_batch(session, protocol_id)
        made += deliveries
        if count < BATCH:
            break
    return made


def _expand_batch(session: Session, protocol_id: str) -> tuple[int, int]:
    """Returns the number of expanded events and of their deliveries; none while another worker expands them."""
    mine = sa.select(WebhookCursor).where(WebhookCursor.protocol_id == protocol_id)
    cursor = session.scalar(mine.with_for_update(skip_locked=True).execution_options(populate_existing=True))
    if cursor is None:
        return 0, 0
    webhooks = session.execute(_ENABLED, {"protocol": protocol_id}).all()
    events = sa.select(OutboxEvent).where(
        OutboxEvent.protocol_id == protocol_id, OutboxEvent.position > cursor.position
    )
    rows = session.scalars(events.order_by(OutboxEvent.position).limit(BATCH)).all()
    deliveries = list(_deliveries(rows, webhooks))
    if deliveries:
        session.execute(_ADD, deliveries)
    if rows:
        cursor.position = rows[-1].position
    session.flush()
    session.expunge_all()
    return len(rows), len(deliveries)


def _deliveries(events: Sequence[OutboxEvent], webhooks: Sequence[Any]) -> Iterator[dict[str, Any]]:
    for event in events if webhooks else ():
        data = json.loads(event.data_json)
        if not is_delivered(event.event_type, data):
            continue
        body = ""
        for webhook in webhooks:
            is_new = event.position > webhook.since_position
            if is_new and matches(webhook.event_types, webhook.severities, event.event_type, data):
                body = body or body_of(
                    event.event_type, iso_timestamp(event.created_at), event.protocol_id, event.data_json
                )
                yield {
                    "id": str(uuid.uuid7()),
                    "webhook_id": webhook.id,
                    "position": event.position,
                    "event_type": event.event_type,
                    "body": body,
                }


def delete_published_events(deadline: float) -> int:
    """Delete the outbox's old events, but none that is still to be expanded; returns how many."""
    is_its = (WebhookCursor.protocol_id == OutboxEvent.protocol_id, WebhookCursor.position < OutboxEvent.position)
    is_needed = sa.exists().where(*is_its).correlate(OutboxEvent)
    return outbox.delete_published(deadline, sa.not_(is_needed))
