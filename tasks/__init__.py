"""The Celery tasks, each of which calls one service, and the schedule of beat."""

import logging
import time
from collections.abc import Callable

from app.agents import task_queue
from app.auth import issued_tokens, revocation
from app.core import queues
from app.core.extensions import celery
from app.http import idempotency
from app.payments import settlement
from app.realtime import emitter, outbox, outbox_positions, retention
from app.webhooks import delivery, expansion
from app.webhooks import retention as webhook_retention

logger = logging.getLogger(__name__)

SCHEDULE = {  # intervals in seconds
    "flush": {"task": queues.FLUSH_TASK, "schedule": 1.0},
    "outbox-sweep": {"task": queues.OUTBOX_SWEEP_TASK, "schedule": 5.0},
    "payment-sweep": {"task": queues.PAYMENT_SWEEP_TASK, "schedule": 1.0},
    "webhook-delivery": {"task": queues.WEBHOOK_DELIVERY_TASK, "schedule": 1.0},
    "retention": {"task": queues.RETENTION_TASK, "schedule": 600.0},
}
RETENTION_RUN_SECONDS = 30.0
RETENTION_JOBS: dict[str, Callable[[float], int]] = {
    "idempotencyKeys": idempotency.delete_old,
    "events": expansion.delete_published_events,
    "webhooks": webhook_retention.maintain,
    "webhookDeliveries": webhook_retention.delete_old,
    "agentTasks": task_queue.delete_old,
    "issuedTokens": issued_tokens.delete_expired,
    "revokedTokens": revocation.delete_expired,
    "agentStates": retention.forget_silent,
}


@celery.task(name=queues.FLUSH_TASK)
def flush() -> None:
    """Beat's tick: emit coalesced agent updates (spec: High-frequency task updates)."""
    emitter.tick()


@celery.task(name=queues.DRAIN_TASK)
def drain(token: str) -> None:
    """Emit what waits in rooms with a queue, at the time that the marker with this token has."""
    emitter.run_scheduled_drain(token)


@celery.task(name=queues.OUTBOX_SWEEP_TASK)
def sweep_outbox() -> None:
    """Relay the events that a crash left unpublished."""
    outbox_positions.compare_positions()
    outbox.sweep()


@celery.task(name=queues.PAYMENT_SETTLE_TASK)
def settle_payment(payment_id: str) -> None:
    settlement.settle(payment_id)


@celery.task(name=queues.PAYMENT_SWEEP_TASK)
def sweep_payments() -> None:
    """Settle the payments that a lost message or a dead worker left behind."""
    settlement.sweep()


@celery.task(name=queues.WEBHOOK_DELIVERY_TASK)
def deliver_webhooks() -> None:
    """Deliver to webhooks what was stored since the last time, and what is due again."""
    delivery.run()


@celery.task(name=queues.RETENTION_TASK)
def forget() -> None:
    """Delete rows and keys past their retention (docs/bounds.md) for half a minute at most; the next run goes on."""
    seconds = RETENTION_RUN_SECONDS / len(RETENTION_JOBS)
    deleted = {name: delete(time.monotonic() + seconds) for name, delete in RETENTION_JOBS.items()}
    if any(deleted.values()):
        logger.info("retention.completed", extra=deleted)
