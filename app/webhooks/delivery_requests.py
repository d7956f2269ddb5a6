"""What owners ask of deliveries: a test, a redelivery, the list."""

from typing import Any

import uuid_utils.compat as uuid
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.audit.service import AuditAction
from app.auth.tokens import Principal
from app.core.database import transaction, utc_now
from app.core.errors import TooManyRequests, WebhookDeliveryNotFound, WebhookDisabled, WebhookNotFound
from app.core.extensions import db
from app.core.pagination import Page, page_by_key
from app.core.schemas import is_identifier
from app.core.sql_types import database_now
from app.core.values import iso_timestamp, to_json
from app.http.idempotency import claim_key, store_response
from app.webhooks import rules
from app.webhooks.models import Webhook, WebhookDelivery
from app.webhooks.rules import DeliveryStatus, WebhookStatus
from app.webhooks.schemas import WebhookTestData
from app.webhooks.service import audit, get, lock


def send_test(webhook_id: str, principal: Principal) -> WebhookDelivery:
    """Store the delivery of a test event. Raises NotFound, Conflict (WEBHOOK_DISABLED), TooManyRequests."""
    get(webhook_id, principal)
    with transaction() as session:
        claim_key(session)
        webhook = _lock_enabled(session, webhook_id)
        is_pending_test = (WebhookDelivery.position.is_(None), WebhookDelivery.status == DeliveryStatus.PENDING.value)
        pending = select(func.count()).where(WebhookDelivery.webhook_id == webhook_id, *is_pending_test)
        if session.scalar(pending) >= rules.MAX_PENDING_TESTS:  # type: ignore[operator]  # COUNT is never null
            raise TooManyRequests(f"{rules.MAX_PENDING_TESTS} tests of this webhook are pending.")
        about = {"webhook_id": webhook_id, "requested_by": principal.subject}
        data = to_json(WebhookTestData().dump(about))
        delivery = WebhookDelivery(
            id=str(uuid.uuid7()),
            webhook_id=webhook_id,
            event_type=rules.TEST_EVENT,
            body=rules.body_of(rules.TEST_EVENT, iso_timestamp(utc_now()), webhook.protocol_id, data),
            status=DeliveryStatus.PENDING.value,
            attempts=0,
            failures=0,
            history=[],
            created_at=database_now(),
        )
        session.add(delivery)
        _send_now(session, webhook, delivery, AuditAction.WEBHOOK_TESTED)
    return delivery


def redeliver(delivery_id: str, principal: Principal) -> WebhookDelivery:
    """Send a delivery again, with the same body and id; one that waits for its next attempt is due now.

    Raises NotFound, Conflict (WEBHOOK_DISABLED), StoredResponse.
    """
    delivery = db.session.get(WebhookDelivery, delivery_id) if is_identifier(delivery_id) else None
    try:
        webhook = get(delivery.webhook_id if delivery else "", principal)
    except WebhookNotFound:
        raise WebhookDeliveryNotFound(f"There is no webhook delivery {delivery_id!r}.") from None
    with transaction() as session:
        claim_key(session)
        webhook = _lock_enabled(session, webhook.id)
        delivery = session.get_one(WebhookDelivery, delivery_id, populate_existing=True, with_for_update=True)
        if delivery.status != DeliveryStatus.PENDING:
            delivery.status, delivery.failures, delivery.finished_at = DeliveryStatus.PENDING.value, 0, None
        _send_now(session, webhook, delivery, AuditAction.WEBHOOK_REDELIVERED)
    return delivery


def list_deliveries(
    webhook_id: str, principal: Principal, limit: int, cursor: list[Any] | None, *, status: str | None
) -> Page:
    """A webhook's deliveries, newest first. Raises NotFound."""
    get(webhook_id, principal)
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
    if status is not None:
        query = query.where(WebhookDelivery.status == status)
    return page_by_key(query, WebhookDelivery.id, limit, cursor)


def _lock_enabled(session: Session, webhook_id: str) -> Webhook:
    webhook = lock(session, webhook_id)
    if webhook.status != WebhookStatus.ENABLED:
        raise WebhookDisabled
    return webhook


def _send_now(session: Session, webhook: Webhook, delivery: WebhookDelivery, action: AuditAction) -> None:
    """Make the delivery due, whatever the endpoint's back-off says, and store the response."""
    webhook.next_allowed_at = None
    delivery.next_attempt_at = database_now()
    audit(session, action, webhook, after={"deliveryId": delivery.id})
    session.flush()
    session.refresh(delivery)
    store_response(session, delivery)
