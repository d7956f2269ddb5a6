"""The safety net of the outbox: what a crash left unpublished goes out."""

from app.core.extensions import celery
from app.core.queues import OUTBOX_SWEEP_TASK
from app.realtime import outbox


@celery.task(name=OUTBOX_SWEEP_TASK)
def sweep() -> None:
    outbox.compare_positions()
    outbox.sweep()
