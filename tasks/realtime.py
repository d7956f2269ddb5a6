"""Tasks of the rooms: beat's tick, scheduled drains and the outbox sweep."""

from app.core.extensions import celery
from app.core.queues import DRAIN_TASK, FLUSH_TASK, OUTBOX_SWEEP_TASK
from app.realtime import emitter, outbox


@celery.task(name=FLUSH_TASK)
def flush() -> None:
    """Emit coalesced agent updates (spec: High-frequency task updates)."""
    emitter.tick()


@celery.task(name=DRAIN_TASK)
def drain(planned: int) -> None:
    """Emit what waits in rooms with a queue, at the steady time `planned` (microseconds)."""
    emitter.run_scheduled_drain(planned)


@celery.task(name=OUTBOX_SWEEP_TASK)
def sweep() -> None:
    """Relay the events that a crash left unpublished."""
    outbox.compare_positions()
    outbox.sweep()
