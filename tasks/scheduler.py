"""Beat's scheduler: one leading beat sends each task of the schedule at its interval.

It replaces celery-redbeat, which keeps due times of one host's wall clock in Redis: after that clock has stepped back,
or on a successor whose clock is behind, nothing is sent until those times have passed. Here the leader measures the
intervals by its monotonic clock, and Redis holds nothing but the lease of the lead.
"""

import logging
import time
from typing import Any

import redis
import uuid_utils.compat as uuid
from celery.beat import Scheduler

from app.core.extensions import redis_client
from app.core.queues import TASK_QUEUES
from app.observability import metrics, workers
from app.realtime import scripts
from app.realtime.redis_keys import LEADER_KEY

logger = logging.getLogger(__name__)

LEAD_MS = 4_000  # renewed each second; after a beat was killed, the next leads when this has passed
MAX_PAUSE_SECONDS = 1.0
MAX_QUEUED = 10  # beat sends no more to a queue with so many tasks, so that ticks do not pile up without workers


class MonotonicScheduler(Scheduler):  # type: ignore[misc]
    """Celery's beat calls `tick` again after the number of seconds it returns."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._token = uuid.uuid4().hex
        self._due: dict[str, float] = {}
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Do nothing: Celery's copy of the schedule would hold times of the wall clock."""

    def tick(self, *_: Any, **__: Any) -> float:
        with self.app.flask_app.app_context():
            try:
                leads = self._lease(LEAD_MS)
                if not leads:
                    self._due.clear()  # a new leader sends every task at once
                pause = self._send_due() if leads else MAX_PAUSE_SECONDS
            except redis.RedisError as error:
                logger.warning("beat.redis_failed", extra={"error": str(error)})
                return MAX_PAUSE_SECONDS
            workers.beat_ticked.send(sender=self, leads=leads)
        return pause

    def close(self) -> None:
        """Release the lead, so that the next beat takes it at once."""
        with self.app.flask_app.app_context():
            try:
                self._lease(0)
            except redis.RedisError as error:
                logger.warning("beat.redis_failed", extra={"error": str(error)})
        super().close()

    def _lease(self, milliseconds: int) -> bool:
        return bool(redis_client().eval(scripts.source("lease_lead"), 1, LEADER_KEY, self._token, milliseconds))

    def _send_due(self) -> float:
        """Send the due tasks; returns the seconds until the next is due. A late one is not made up for."""
        for name, entry in self.app.conf.beat_schedule.items():
            now = time.monotonic()
            due = self._due.get(name, now)
            if due <= now:
                self._send(entry["task"])
                due = max(due + entry["schedule"], now)
            self._due[name] = due
        return max(0.0, min(*self._due.values(), time.monotonic() + MAX_PAUSE_SECONDS) - time.monotonic())

    def _send(self, task: str) -> None:
        if int(redis_client().llen(TASK_QUEUES[task])) >= MAX_QUEUED:
            logger.warning("beat.task_skipped", extra={"task": task, "fullQueue": TASK_QUEUES[task]})
            return
        try:
            self.app.send_task(task, retry=False)
        except Exception as error:  # noqa: BLE001 - any error of the broker's client; the next tick tries again
            metrics.ENQUEUE_FAILURES.labels(task).inc()
            logger.warning("beat.send_failed", extra={"task": task, "error": str(error)})
