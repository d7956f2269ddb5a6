"""What finished attempts change: their deliveries, and their webhooks' back-off and status, in one transaction."""

import logging
import random
from collections import defaultdict
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.database import transaction
from app.core.sql_types import database_now
from app.core.values import iso_timestamp
from app.observability import metrics
from app.webhooks import service
from app.webhooks.attempts import Outcome, Result
from app.webhooks.lease import Leased
from app.webhooks.models import IS_PENDING, Webhook, WebhookDelivery
from app.webhooks.rules import DeliveryStatus, DisableCause
from app.webhooks.schedule import FAILING_PERIOD, endpoint_pause, retry_delay

logger = logging.getLogger(__name__)

MAX_HISTORY = 20
_deliveries = cast(sa.Table, WebhookDelivery.__table__)
_columns = _deliveries.c
# A lost lease has another number of attempts.
_OURS = (
    sa.update(_deliveries)
    .where(_columns.id == sa.bindparam("delivery"), _columns.attempts == sa.bindparam("attempt"), IS_PENDING)
    .values(
        lease_until=None,
        response_code=sa.bindparam("code"),
        error=sa.bindparam("problem"),
        duration_ms=sa.bindparam("milliseconds"),
        history=sa.bindparam("attempts_so_far", type_=sa.JSON()),
    )
)
_FINISHED = _OURS.values(
    status=sa.bindparam("new_status"),
    failures=sa.bindparam("new_failures"),
    next_attempt_at=None,
    finished_at=database_now(),
)
Finished = tuple[Leased, Result]


def settle(finished: list[Finished]) -> None:
    """Record finished attempts, in their order. An attempt that lost its lease changes only its webhook."""
    if not finished:
        return
    delays = {leased.delivery.id: _next_delay(leased, result) for leased, result in finished}
    with transaction() as session:
        _record_health(session, finished)  # webhooks before deliveries, as everywhere: no deadlock
        now = session.execute(sa.select(database_now())).scalar_one()
        done = []
        for leased, result in sorted(finished, key=lambda each: each[0].delivery.id):
            delay, values = delays[leased.delivery.id], _attempt_values(leased, result, now)
            if delay is None:
                done.append(values | _final_values(leased, result))
            else:
                later = {"failures": leased.delivery.failures + 1, "next_attempt_at": database_now(delay)}
                session.execute(_OURS.values(later), values)
        if done:
            session.execute(_FINISHED, done)
    for leased, result in finished:
        _tell(leased, result, delays[leased.delivery.id])


def _next_delay(leased: Leased, result: Result) -> float | None:
    """Seconds until the next attempt; None after a success or the last one."""
    if result.outcome is Outcome.DELIVERED:
        return None
    jitter = random.random()  # noqa: S311 - spreads the attempts, guards nothing
    return retry_delay(leased.delivery.failures + 1, jitter, result.retry_after)


def _attempt_values(leased: Leased, result: Result, now: datetime) -> dict[str, Any]:
    delivery, milliseconds = leased.delivery, round(result.seconds * 1000)
    entry = {
        "at": iso_timestamp(now),
        "responseCode": result.response_code,
        "durationMs": milliseconds,
        "error": result.error,
    }
    return {
        "delivery": delivery.id,
        "attempt": delivery.attempts,
        "code": result.response_code,
        "problem": result.error,
        "milliseconds": milliseconds,
        "attempts_so_far": [*delivery.history, entry][-MAX_HISTORY:],
    }


def _final_values(leased: Leased, result: Result) -> dict[str, Any]:
    is_delivered = result.outcome is Outcome.DELIVERED
    status = DeliveryStatus.SUCCEEDED if is_delivered else DeliveryStatus.FAILED
    return {"new_status": status.value, "new_failures": leased.delivery.failures + (not is_delivered)}


def _record_health(session: Session, finished: list[Finished]) -> None:
    results: dict[str, list[Result]] = defaultdict(list)
    for leased, result in finished:
        results[leased.delivery.webhook_id].append(result)
    mine = sa.select(Webhook, database_now()).where(Webhook.id.in_(results)).order_by(Webhook.id)
    locked = mine.with_for_update(of=Webhook, key_share=True).execution_options(populate_existing=True)
    for webhook, now in session.execute(locked).all():
        for result in results[webhook.id]:
            _count(webhook, result, now)
        _pause_or_disable(session, webhook, results[webhook.id], now)


def _count(webhook: Webhook, result: Result, now: datetime) -> None:
    """Writes nothing for a success after a success."""
    if result.outcome is not Outcome.DELIVERED:
        webhook.consecutive_failures += 1
        webhook.failing_since = webhook.failing_since or now
    elif webhook.consecutive_failures:
        webhook.consecutive_failures = 0
        webhook.failing_since = webhook.next_allowed_at = None


def _pause_or_disable(session: Session, webhook: Webhook, results: list[Result], now: datetime) -> None:
    if not webhook.consecutive_failures:
        return
    last = results[-1]
    pause = endpoint_pause(webhook.consecutive_failures, max(each.retry_after for each in results))
    if pause:
        webhook.next_allowed_at = database_now(pause)
    if any(each.outcome is Outcome.GONE for each in results):
        service.set_disabled(session, webhook, DisableCause.GONE, "The endpoint answered 410 Gone.")
    elif webhook.failing_since is not None and now - webhook.failing_since >= FAILING_PERIOD:
        reason = f"Nothing but failures for {FAILING_PERIOD.days} days. The last one: {last.error}."
        service.set_disabled(session, webhook, DisableCause.FAILING, reason)


def _tell(leased: Leased, result: Result, delay: float | None) -> None:
    metrics.WEBHOOK_ATTEMPTS.labels(result.outcome.value).inc()
    metrics.WEBHOOK_ATTEMPT_SECONDS.observe(result.seconds)
    delivery, about = leased.delivery, {"origin": service.origin(leased.url), "seconds": round(result.seconds, 3)}
    about |= {"webhookId": delivery.webhook_id, "deliveryId": delivery.id, "eventType": delivery.event_type}
    about |= {"attempt": delivery.attempts, "responseCode": result.response_code}
    if result.outcome is Outcome.DELIVERED:
        logger.info("webhook.delivered", extra=about)
        return
    about |= {"error": result.error, "detail": result.detail}
    if delay is None:
        metrics.WEBHOOK_DELIVERIES_FAILED.inc()
        logger.error("webhook.delivery_failed", extra=about)
    else:
        logger.warning("webhook.attempt_failed", extra={**about, "delaySeconds": round(delay, 1)})
