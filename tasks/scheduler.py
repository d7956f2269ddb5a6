"""Beat's scheduler: one leader sends each task of the schedule in its interval.

It replaces celery-redbeat, which keeps due times of one host's wall clock in Redis: after that clock has stepped back,
or on a successor whose clock is behind, nothing is sent until they have passed. Here the intervals are the leader's
own, by its monotonic clock; Redis holds the lead and nothing else.
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

logger = logging.getLogger(__name__)

LEAD_MS = 4_000  # renewed each second; a killed beat's successor waits for it
MAX_PAUSE_SECONDS = 1.0
MAX_WAITING = 10
"""Tasks in a queue beyond which beat sends it no more: while its workers are down ticks do not pile up."""


class MonotonicScheduler(Scheduler):  # type: ignore[misc]
    """Celery's beat calls `tick` again after the seconds that it answers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._token = uuid.uuid4().hex
        self._due: dict[str, float] = {}
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """The schedule is the application's; Celery's own copy of it has times of the wall clock."""

    def tick(self, *_: Any, **__: Any) -> float:
        with self.app.flask_app.app_context():
            try:
                leads = bool(scripts.run("lead", self._token, LEAD_MS))
                pause = self._send_due() if leads else self._wait()
            except redis.RedisError as error:
                logger.warning("beat.redis_failed", extra={"error": str(error)})
                return MAX_PAUSE_SECONDS
            workers.beat_ticked.send(sender=self, leads=leads)
        return pause

    def close(self) -> None:
        """Leave the lead to the next beat at once."""
        with self.app.flask_app.app_context():
            try:
                scripts.run("lead", self._token, 0)
            except redis.RedisError as error:
                logger.warning("beat.redis_failed", extra={"error": str(error)})
        super().close()

    def _wait(self) -> float:
        self._due.clear()  # a new leader sends everything at once
        return MAX_PAUSE_SECONDS

    def _send_due(self) -> float:
        """Answers in how many seconds the next task is due. A late one is not made up for."""
        for name, entry in self.app.conf.beat_schedule.items():
            now = time.monotonic()
            due = self._due.get(name, now)
            if due <= now:
                self._send(entry["task"])
                due = max(due + entry["schedule"], now)
            self._due[name] = due
        return max(0.0, min(*self._due.values(), time.monotonic() + MAX_PAUSE_SECONDS) - time.monotonic())

    def _send(self, task: str) -> None:
        if int(redis_client().llen(TASK_QUEUES[task])) >= MAX_WAITING:
            logger.warning("beat.queue_full", extra={"task": task, "queue": TASK_QUEUES[task]})
            return
        try:
            self.app.send_task(task, retry=False)
        except Exception as error:  # noqa: BLE001 - whatever the broker's client raises, the next tick tries again
            metrics.ENQUEUE_FAILURES.labels(task).inc()
            logger.warning("beat.task_not_sent", extra={"task": task, "error": str(error)})
