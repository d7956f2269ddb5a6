"""What keeps the tables of webhooks bounded, and their secrets encrypted with the present key."""

import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, func, not_, or_, select, update

from app.core.database import delete_in_batches, transaction
from app.core.errors import WebhookNotFound, WebhooksNotConfigured
from app.core.extensions import config, db
from app.core.sql_types import database_now
from app.webhooks import encryption, rules
from app.webhooks.encryption import SecretUnreadable
from app.webhooks.models import Webhook, WebhookDelivery
from app.webhooks.rules import DeliveryStatus, DisableCause, WebhookStatus
from app.webhooks.service import disable_for, lock, set_disabled

logger = logging.getLogger(__name__)

RETENTION = timedelta(days=30)
MAX_FINISHED = 10_000  # of a webhook
BATCH = 500
NOT_SENT = "The webhook was disabled for 30 days."
_IS_PENDING = WebhookDelivery.status == DeliveryStatus.PENDING.value


def delete_old(deadline: float) -> int:
    """Delete deliveries that finished 30 days ago, those beyond a webhook's newest 10,000, and deleted webhooks.

    Stops at the monotonic `deadline`; returns the number of deleted deliveries.
    """
    is_old = WebhookDelivery.finished_at < database_now(-RETENTION.total_seconds())
    deleted = delete_in_batches(WebhookDelivery, is_old, deadline)
    for webhook_id in _ids(Webhook.status == WebhookStatus.DELETED.value):
        deleted += delete_in_batches(WebhookDelivery, WebhookDelivery.webhook_id == webhook_id, deadline)
        if time.monotonic() < deadline:
            _delete_webhook(webhook_id)
    for webhook_id, oldest_kept in _crowded(deadline):
        is_surplus = and_(
            WebhookDelivery.webhook_id == webhook_id,
            WebhookDelivery.id < oldest_kept,
            WebhookDelivery.finished_at.is_not(None),
        )
        deleted += delete_in_batches(WebhookDelivery, is_surplus, deadline)
    return deleted


def maintain(deadline: float) -> int:
    """Disable webhooks with too many pending deliveries, fail what waits for disabled ones, encrypt old secrets anew.

    Returns the number of changed webhooks and deliveries.
    """
    changed = _disable_overloaded() + _reencrypt(deadline)
    is_too_old = WebhookDelivery.next_attempt_at < database_now(-RETENTION.total_seconds())
    for webhook_id in _ids(Webhook.status == WebhookStatus.DISABLED.value):
        waits = and_(WebhookDelivery.webhook_id == webhook_id, _IS_PENDING, is_too_old)
        while time.monotonic() < deadline and (failed := _fail(waits)):
            changed += failed
            logger.warning("webhook.deliveries_expired", extra={"webhookId": webhook_id, "count": failed})
    return changed


def _ids(condition: ColumnElement[bool]) -> list[str]:
    found = list(db.session.scalars(select(Webhook.id).where(condition).order_by(Webhook.id)))
    db.session.rollback()
    return found


def _delete_webhook(webhook_id: str) -> None:
    has_deliveries = exists().where(WebhookDelivery.webhook_id == webhook_id)
    with transaction() as session:
        session.execute(delete(Webhook).where(Webhook.id == webhook_id, not_(has_deliveries)))


def _crowded(deadline: float) -> Iterator[tuple[str, str]]:
    """The webhooks with more deliveries than are kept, and the id of the oldest that is."""
    for webhook_id in _ids(Webhook.status != WebhookStatus.DELETED.value):
        if time.monotonic() > deadline:
            return
        newest_first = select(WebhookDelivery.id).where(WebhookDelivery.webhook_id == webhook_id)
        newest_first = newest_first.order_by(WebhookDelivery.id.desc())
        oldest_kept = db.session.scalar(newest_first.offset(MAX_FINISHED - 1).limit(1))
        db.session.rollback()
        if oldest_kept is not None:
            yield webhook_id, oldest_kept


def _disable_overloaded() -> int:
    pending = select(WebhookDelivery.webhook_id).where(_IS_PENDING).group_by(WebhookDelivery.webhook_id)
    overloaded = list(db.session.scalars(pending.having(func.count() > rules.MAX_PENDING)))
    db.session.rollback()
    reason = f"More than {rules.MAX_PENDING} deliveries were pending."
    return sum(disable_for(webhook_id, DisableCause.BACKLOG, reason) for webhook_id in overloaded)


def _reencrypt(deadline: float) -> int:
    """Encrypt secrets of an earlier key anew; without that key the webhook is disabled, until it gets a new secret."""
    try:
        prefix = encryption.current_key_id(config()) + "."
    except WebhooksNotConfigured:
        return 0
    is_old = or_(not_(Webhook.secret.startswith(prefix)), not_(Webhook.previous_secret.startswith(prefix)))
    return sum(
        _reencrypt_webhook(webhook_id)
        for webhook_id in _ids(and_(Webhook.status != WebhookStatus.DELETED.value, is_old))
        if time.monotonic() < deadline
    )


def _reencrypt_webhook(webhook_id: str) -> bool:
    with transaction() as session:
        try:
            webhook = lock(session, webhook_id)
            webhook.secret = _encrypted_anew(webhook_id, webhook.secret)
        except WebhookNotFound:  # deleted since
            return False
        except SecretUnreadable as error:
            return set_disabled(session, webhook, DisableCause.SECRET, str(error))
        try:
            webhook.previous_secret = webhook.previous_secret and _encrypted_anew(webhook_id, webhook.previous_secret)
        except SecretUnreadable:
            webhook.previous_secret = webhook.previous_secret_expires_at = None
    return True


def _encrypted_anew(webhook_id: str, stored: str) -> str:
    return encryption.encrypt(config(), webhook_id, encryption.decrypt(config(), webhook_id, stored))


def _fail(condition: ColumnElement[bool]) -> int:
    """Fail up to 500 pending deliveries."""
    batch = select(WebhookDelivery.id).where(condition).limit(BATCH)
    values = {"status": DeliveryStatus.FAILED.value, "error": NOT_SENT, "next_attempt_at": None}
    statement = update(WebhookDelivery).where(WebhookDelivery.id.in_(batch))
    with transaction() as session:
        result: Any = session.execute(statement.values(finished_at=database_now(), **values))
    return int(result.rowcount)
