"""Rooms with a backlog go on as soon as their budget allows."""

from app.core.extensions import celery
from app.core.queues import DRAIN_TASK
from app.realtime import emitter


@celery.task(name=DRAIN_TASK)
def drain(planned: int) -> None:
    emitter.run_scheduled_drain(planned)
