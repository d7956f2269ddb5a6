"""Forgets what nobody needs any more: idempotency keys after a day, told events after a week."""

import logging

from app.auth import idempotency
from app.extensions import celery
from app.queues import RETENTION_TASK
from app.realtime import retention

logger = logging.getLogger(__name__)


@celery.task(name=RETENTION_TASK)
def forget() -> None:
    deleted = {"idempotencyKeys": idempotency.delete_old(), "events": retention.delete_old_events()}
    if any(deleted.values()):
        logger.info("retention", extra=deleted)
