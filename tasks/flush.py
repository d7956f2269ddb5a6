"""Beat's tick: coalesced agent updates leave (spec: High-frequency task updates)."""

from app.core.extensions import celery
from app.core.queues import FLUSH_TASK
from app.realtime import emitter


@celery.task(name=FLUSH_TASK)
def flush() -> None:
    emitter.tick()
