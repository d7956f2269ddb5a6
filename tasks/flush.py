"""Beat's tick: coalesced agent updates leave (spec: High-frequency task updates)."""

from app.extensions import celery
from app.queues import FLUSH_TASK
from app.realtime import pipeline


@celery.task(name=FLUSH_TASK)
def flush() -> None:
    pipeline.tick()
