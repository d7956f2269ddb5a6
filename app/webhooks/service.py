"""Webhooks: created, listed, rotated, enabled, disabled and deleted.

A new secret is in its response alone. With an Idempotency-Key the stored response lacks it, and a repetition decrypts
the webhook's.
"""

import base64
import json
import logging
import secrets
from typing import Any
from urllib.parse import urlsplit

import uuid_utils.compat as uuid
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.audit.service import AuditAction, record_audit
from app.auth.authorization import unknown_protocol
from app.auth.tokens import Principal
from app.core.database import transaction, utc_now
from app.core.errors import InvalidInput, TooManyWebhooks, WebhookNotFound
from app.core.extensions import config, db
from app.core.outbound_guard import ForbiddenTarget, Guard
from app.core.pagination import Page, page_by_key
from app.core.schemas import is_identifier
from app.core.sql_types import database_now
from app.http.idempotency import StoredResponse, claim_key, store_response
from app.observability import metrics
from app.realtime.outbox import EventCounter
from app.webhooks import encryption, rules
from app.webhooks.encryption import SecretUnreadable
from app.webhooks.models import IS_PENDING, Webhook, WebhookCursor, WebhookDelivery
from app.webhooks.rules import DisableCause, WebhookStatus

logger = logging.getLogger(__name__)

for _cause in DisableCause:  # Prometheus sees no increase of a counter that first appears as 1
    metrics.WEBHOOKS_DISABLED.labels(_cause)

_IS_SHOWN = Webhook.status != WebhookStatus.DELETED.value


def create(protocol_id: str, fields: dict[str, Any], principal: Principal) -> Webhook:
    """Store a webhook for the events from now on; its `shown_secret` is set.

    Raises NotFound, InvalidInput (the URL), Conflict (TOO_MANY_WEBHOOKS, WEBHOOKS_NOT_CONFIGURED), StoredResponse.
    """
    _check_url(fields["url"])
    webhook_id, secret = str(uuid.uuid7()), _new_secret()
    event_types = [rules.ALL_EVENTS] if rules.ALL_EVENTS in fields["event_types"] else _distinct(fields["event_types"])
    encrypted = encryption.encrypt(config(), webhook_id, secret)
    try:
        with transaction() as session:
            claim_key(session)
            position = _lock_position(session, protocol_id)
            _check_room_for_one_more(session, protocol_id)
            if session.get(WebhookCursor, protocol_id) is None:
                session.add(WebhookCursor(protocol_id=protocol_id, position=position))
            webhook = Webhook(
                id=webhook_id,
                protocol_id=protocol_id,
                url=fields["url"],
                event_types=event_types,
                severities=fields["severities"] and _distinct(fields["severities"]),
                description=fields["description"],
                status=WebhookStatus.ENABLED.value,
                secret=encrypted,
                since_position=position,
                consecutive_failures=0,
                created_by=principal.subject,
                created_at=utc_now(),
            )
            session.add(webhook)
            after = {"origin": origin(webhook.url), "eventTypes": event_types, "severities": webhook.severities}
            audit(session, AuditAction.WEBHOOK_CREATED, webhook, after=after)
            store_response(session, webhook, {"webhookId": webhook_id, "secret": encrypted})
    except StoredResponse as first:
        raise _with_secret(first) from None
    webhook.shown_secret = secret
    return webhook


def get(webhook_id: str, principal: Principal) -> Webhook:
    """Raises NotFound, also for a webhook of a protocol that the token does not grant."""
    webhook = None
    if is_identifier(webhook_id):
        webhook = db.session.scalar(select(Webhook).where(Webhook.id == webhook_id, _IS_SHOWN))
    if webhook is None or not principal.grants(webhook.protocol_id):
        raise WebhookNotFound(f"There is no webhook {webhook_id!r}.")
    return webhook


def list_webhooks(protocol_id: str, limit: int, cursor: list[Any] | None) -> Page:
    """A protocol's webhooks, newest first. Raises NotFound."""
    if db.session.get(EventCounter, protocol_id) is None:
        raise unknown_protocol(protocol_id)
    return page_by_key(select(Webhook).where(Webhook.protocol_id == protocol_id, _IS_SHOWN), Webhook.id, limit, cursor)


def rotate_secret(webhook_id: str, principal: Principal) -> Webhook:
    """Give the webhook a new secret, which `shown_secret` holds; the present one signs as well for another day.

    Raises NotFound, Conflict (WEBHOOKS_NOT_CONFIGURED), StoredResponse.
    """
    get(webhook_id, principal)
    secret = _new_secret()
    encrypted = encryption.encrypt(config(), webhook_id, secret)
    try:
        with transaction() as session:
            claim_key(session)
            webhook = lock(session, webhook_id)
            is_usable = _is_readable(webhook)
            webhook.previous_secret = webhook.secret if is_usable else None
            webhook.previous_secret_expires_at = database_now(rules.SECRET_OVERLAP_SECONDS) if is_usable else None
            webhook.secret = encrypted
            audit(session, AuditAction.WEBHOOK_SECRET_ROTATED, webhook)
            session.flush()
            session.refresh(webhook)
            store_response(session, webhook, {"webhookId": webhook_id, "secret": encrypted})
    except StoredResponse as first:
        raise _with_secret(first) from None
    webhook.shown_secret = secret
    return webhook


def enable(webhook_id: str, principal: Principal) -> Webhook:
    """Enable the webhook: what waits is due, and its failures are forgotten. Raises NotFound, StoredResponse."""
    get(webhook_id, principal)
    with transaction() as session:
        claim_key(session)
        webhook = lock(session, webhook_id)
        if webhook.status == WebhookStatus.DISABLED:
            before = {"status": webhook.status, "disabledReason": webhook.disabled_reason}
            webhook.status, webhook.disabled_reason = WebhookStatus.ENABLED.value, None
            webhook.failing_since = webhook.next_allowed_at = None
            webhook.consecutive_failures = 0
            waits = (WebhookDelivery.webhook_id == webhook_id, IS_PENDING, WebhookDelivery.lease_until.is_(None))
            session.execute(update(WebhookDelivery).where(*waits).values(next_attempt_at=database_now()))
            audit(session, AuditAction.WEBHOOK_ENABLED, webhook, before=before, after={"status": webhook.status})
        store_response(session, webhook)
    return webhook


def disable(webhook_id: str, principal: Principal) -> Webhook:
    """Disable the webhook: new events are not kept for it, what is pending waits. Raises NotFound, StoredResponse."""
    get(webhook_id, principal)
    with transaction() as session:
        claim_key(session)
        webhook = lock(session, webhook_id)
        set_disabled(session, webhook, DisableCause.OWNER, f"Disabled by {principal.subject}.")
        store_response(session, webhook)
    return webhook


def set_disabled(session: Session, webhook: Webhook, cause: DisableCause, reason: str) -> bool:
    """Disable a locked webhook in the caller's transaction; False if it is not ENABLED."""
    if webhook.status != WebhookStatus.ENABLED:
        return False
    webhook.status, webhook.disabled_reason = WebhookStatus.DISABLED.value, reason
    before, after = {"status": WebhookStatus.ENABLED}, {"status": webhook.status, "disabledReason": reason}
    audit(session, AuditAction.WEBHOOK_DISABLED, webhook, before=before, after=after)
    metrics.WEBHOOKS_DISABLED.labels(cause).inc()
    logger.warning("webhook.disabled", extra={"webhookId": webhook.id, "cause": cause.value, "reason": reason})
    return True


def disable_for(webhook_id: str, cause: DisableCause, reason: str) -> bool:
    """Disable a webhook whose endpoint or secret is the problem; False if it is not ENABLED."""
    with transaction() as session:
        try:
            return set_disabled(session, lock(session, webhook_id), cause, reason)
        except WebhookNotFound:  # deleted since
            return False


def delete(webhook_id: str, principal: Principal) -> None:
    """Delete the webhook; the retention deletes its deliveries. Raises NotFound."""
    get(webhook_id, principal)
    with transaction() as session:
        webhook = lock(session, webhook_id)
        before = {"status": webhook.status}
        webhook.status, webhook.secret, webhook.previous_secret = WebhookStatus.DELETED.value, "", None
        audit(session, AuditAction.WEBHOOK_DELETED, webhook, before=before)


def _check_url(url: str) -> None:
    """Raises InvalidInput."""
    try:
        Guard(config().webhook_networks, bool(config().webhook_allow_http)).parse(url)
    except ForbiddenTarget as problem:
        raise InvalidInput(fields={"url": [str(problem)]}) from problem


def origin(url: str) -> str:
    """What of a URL may be logged: the path is often a password, as in those of Slack."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(rules.SECRET_BYTES)).decode()


def _distinct(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _lock_position(session: Session, protocol_id: str) -> int:
    """The position of the protocol's newest event, which stays the newest until the commit. Raises NotFound."""
    counter = session.get(EventCounter, protocol_id, with_for_update=True, populate_existing=True)
    if counter is None:
        raise unknown_protocol(protocol_id)
    return counter.position


def _check_room_for_one_more(session: Session, protocol_id: str) -> None:
    present = select(func.count()).where(Webhook.protocol_id == protocol_id, _IS_SHOWN)
    if session.scalar(present) >= rules.MAX_WEBHOOKS:  # type: ignore[operator]  # COUNT is never null
        raise TooManyWebhooks(f"The protocol has {rules.MAX_WEBHOOKS} webhooks: delete one first.")


def lock(session: Session, webhook_id: str) -> Webhook:
    """The webhook as it is now; its row stays locked until the commit. Raises NotFound."""
    webhook = session.get(Webhook, webhook_id, populate_existing=True, with_for_update={"key_share": True})
    if webhook is None or webhook.status == WebhookStatus.DELETED:
        raise WebhookNotFound(f"There is no webhook {webhook_id!r}.")
    return webhook


def _is_readable(webhook: Webhook) -> bool:
    try:
        encryption.decrypt(config(), webhook.id, webhook.secret)
    except SecretUnreadable:
        return False
    return True


def _with_secret(first: StoredResponse) -> StoredResponse:
    """The stored response with its secret, which is empty if no configured key can decrypt it any more."""
    try:
        secret = encryption.decrypt(config(), first.resume["webhookId"], first.resume["secret"])
    except SecretUnreadable:
        return first
    return StoredResponse(first.status, json.dumps(json.loads(first.body) | {"secret": secret}), first.resume)


def audit(session: Session, action: AuditAction, webhook: Webhook, **values: dict[str, Any] | None) -> None:
    record_audit(session, action, webhook.id, protocol_id=webhook.protocol_id, **values)
