"""Deletes rows and keys past their retention, which docs/bounds.md lists."""

import logging
import time
from collections.abc import Callable

from app.agents import reported, task_queue
from app.auth import revocation
from app.core.extensions import celery
from app.core.queues import RETENTION_TASK
from app.http import idempotency
from app.realtime import outbox

logger = logging.getLogger(__name__)

RUN_SECONDS = 30.0
JOBS: dict[str, Callable[[float], int]] = {
    "idempotencyKeys": idempotency.delete_old,
    "events": outbox.delete_published,
    "agentTasks": task_queue.delete_old,
    "revokedTokens": revocation.delete_expired,
    "agentStates": reported.forget_silent,
}


@celery.task(name=RETENTION_TASK)
def forget() -> None:
    """Delete for at most half a minute; the next run goes on where this one ended."""
    deleted = {name: delete(time.monotonic() + RUN_SECONDS / len(JOBS)) for name, delete in JOBS.items()}
    if any(deleted.values()):
        logger.info("retention", extra=deleted)
