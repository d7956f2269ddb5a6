"""Rooms with a backlog go on as soon as their budget allows."""

from app.extensions import celery
from app.queues import DRAIN_TASK
from app.realtime import pipeline


@celery.task(name=DRAIN_TASK)
def drain(planned: int) -> None:
    pipeline.run_scheduled_drain(planned)
