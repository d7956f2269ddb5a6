"""The delivery of webhooks: a run leases what is due, attempts it in threads and settles what has finished.

One run at a time leases, in the whole system; the others that Celery starts end at once. It looks for new events and
due deliveries several times a second, so an event's first attempt follows its commit promptly, although storing an
event does nothing for webhooks. Beat starts a run each second: after a death the next one goes on, and an attempt whose
worker died is repeated, with the same `webhook-id`, when its lease has expired.

Threads, because a worker's pool process serves one task at a time; they send requests and touch nothing else.
"""

import logging
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import redis
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from app.core.errors import DependencyUnavailable
from app.core.extensions import celery, config, db, redis_client
from app.core.outbound_guard import Guard
from app.core.queues import WEBHOOK_DELIVERY_TASK
from app.observability import metrics
from app.realtime.redis_keys import WEBHOOK_RUN_KEY
from app.webhooks import expansion
from app.webhooks.attempts import Attempt, Outcome, Result
from app.webhooks.lease import MAX_RUNNING, Leased, Slots, lease_due
from app.webhooks.models import Webhook
from app.webhooks.rules import WebhookStatus
from app.webhooks.schedule import ATTEMPT_SECONDS
from app.webhooks.settlement import Finished, settle

logger = logging.getLogger(__name__)

RUN_SECONDS = 20.0  # a run leases nothing after it; its last attempts end before Celery's time limit
IDLE_SECONDS = 1.0  # until beat starts the next run
POLL_SECONDS = 0.2
GATHER_SECONDS = 0.02  # what finishes meanwhile is settled in the same transaction
OUTAGE_PAUSE_SECONDS = 0.5
RUN_LEASE_MS = 5_000
MAX_THREADS = 2 * MAX_RUNNING  # some may still be looking up a name


def run() -> int:
    """Deliver what is due, for a second at least; returns the number of attempts. Does nothing beside another run."""
    if not redis_client().set(WEBHOOK_RUN_KEY, "", nx=True, px=RUN_LEASE_MS):
        return 0
    expansion.expand()
    has_webhooks = db.session.scalar(sa.select(sa.exists().where(Webhook.status == WebhookStatus.ENABLED.value)))
    db.session.rollback()
    if has_webhooks:
        return _Run().deliver()
    _end_lease()
    return 0


class _Run:
    """The state of one run: what is being attempted, and what is yet to be settled."""

    def __init__(self) -> None:
        self._guard = Guard(config().webhook_networks, bool(config().webhook_allow_http))
        self._slots = Slots()
        self._running: dict[Future[Result], Attempt] = {}
        self._finished: list[Finished] = []
        self._began = time.monotonic()
        self._leases = True
        self._is_idle = False

    def deliver(self) -> int:
        """Returns the number of attempts."""
        count = 0
        pool = ThreadPoolExecutor(MAX_THREADS, "webhook-attempt")
        while self._leases or self._running or self._finished:
            try:
                settle(self._finished)
                self._finished = []
                for leased in self._lease():
                    started = Attempt(leased, self._guard)
                    self._running[pool.submit(started.run)] = started
                    count += 1
            except (SQLAlchemyError, DependencyUnavailable) as error:
                db.session.rollback()
                logger.warning("webhook.database_failed", extra={"error": str(error)})
                time.sleep(OUTAGE_PAUSE_SECONDS)
            self._gather()
            if self._leases and self._is_over():
                self._stop_leasing()
        pool.shutdown(wait=False)
        return count

    def _lease(self) -> list[Leased]:
        if not self._leases:
            return []
        _renew_lease()
        expansion.expand()
        leased = lease_due(self._slots)
        self._is_idle = not leased and not self._running
        return leased

    def _stop_leasing(self) -> None:
        self._leases = False
        _end_lease()
        if self._running:  # another process goes on while the last attempts end
            _start_next_run()

    def _is_over(self) -> bool:
        elapsed = time.monotonic() - self._began
        return elapsed > RUN_SECONDS or (elapsed > IDLE_SECONDS and self._is_idle)

    def _gather(self) -> None:
        """Wait until an attempt ends, or for the next look at what is due."""
        if wait(self._running, POLL_SECONDS, FIRST_COMPLETED).done:
            time.sleep(GATHER_SECONDS)
        elif not self._running and self._leases:
            time.sleep(POLL_SECONDS)
        for future, started in list(self._running.items()):
            if not future.done() and started.seconds < ATTEMPT_SECONDS:
                continue
            result = future.result() if future.done() else started.cut_off()
            del self._running[future]
            webhook_id = started.leased.delivery.webhook_id
            self._slots.give_back(webhook_id, succeeded=result.outcome is Outcome.DELIVERED)
            self._finished.append((started.leased, result))


def _renew_lease() -> None:
    """Two runs at a time would be harmless, since each delivery has its own lease."""
    try:
        redis_client().pexpire(WEBHOOK_RUN_KEY, RUN_LEASE_MS)
    except redis.RedisError as error:
        logger.warning("webhook.run_lease_failed", extra={"error": str(error)})


def _end_lease() -> None:
    try:
        redis_client().delete(WEBHOOK_RUN_KEY)
    except redis.RedisError as error:
        logger.warning("webhook.run_lease_failed", extra={"error": str(error)})


def _start_next_run() -> None:
    try:
        celery.send_task(WEBHOOK_DELIVERY_TASK, retry=False)
    except Exception as error:  # noqa: BLE001 - beat's next tick does the same
        metrics.ENQUEUE_FAILURES.labels(WEBHOOK_DELIVERY_TASK).inc()
        logger.warning("webhook.enqueue_failed", extra={"error": str(error)})
