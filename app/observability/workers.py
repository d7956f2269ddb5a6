"""Observability of Celery processes: task metrics, a metrics port, signs of life, traces and crash reports."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis
from celery import signals
from celery.utils.dispatch import Signal
from flask import Flask, has_app_context
from prometheus_client import start_http_server

from app.config import Config
from app.core.celery_config import acknowledgement_lost
from app.core.extensions import celery, redis_clock
from app.core.queues import PAYMENTS_QUEUE, WEBHOOKS_QUEUE
from app.observability import metrics, probe, process_registry, telemetry
from app.observability.requests import current_request_id

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0

beat_ticked = Signal(name="beat_ticked", providing_args={"leads"})
"""Sent by beat's scheduler each second, whether it leads or is a standby."""


def init_publishing() -> None:
    """Send the request's id and the time of sending with each task of this process."""
    signals.before_task_publish.connect(_add_headers)


def init(app: Flask, settings: Config) -> None:
    """Connect to Celery's signals; nothing is opened before a worker or beat starts.

    Signs of life follow Celery's heartbeat and beat's ticks, without a timer of our own. Crash reports come from every
    process, traces from the pool's processes, after their fork.
    """
    for begun in (signals.worker_init, signals.beat_init):
        begun.connect(lambda **_: telemetry.report_crashes(settings), weak=False)
    for ready in (signals.worker_ready, signals.beat_init):
        ready.connect(lambda **_: _serve_metrics(settings.metrics_port), weak=False)
    signals.heartbeat_sent.connect(_sign_of_life(app, "worker", _worker_roles), weak=False)
    beat_ticked.connect(_sign_of_life(app, "beat", lambda: ("beat",)), weak=False)
    signals.worker_process_init.connect(lambda **_: _begin_pool_process(settings), weak=False)
    signals.task_prerun.connect(_count_start)
    signals.task_postrun.connect(_count_end)
    signals.worker_process_shutdown.connect(lambda **_: telemetry.finish(), weak=False)
    signals.worker_shutdown.connect(lambda **_: _end_worker(app), weak=False)


def _add_headers(headers: dict[str, Any], **_: Any) -> None:
    """`sent_at` is a time of Redis's clock."""
    headers["request_id"] = current_request_id()
    if has_app_context():
        with suppress(redis.RedisError):
            headers["sent_at"] = redis_clock().now()


def _count_start(task: Any, **_: Any) -> None:
    task.request.started = time.perf_counter()
    sent_at = task.request.get("sent_at")
    if sent_at is not None:
        with task.app.flask_app.app_context(), suppress(redis.RedisError):
            metrics.CELERY_WAIT.labels(task.name).observe(max(0.0, redis_clock().now() - sent_at))


def _count_end(task: Any, state: str, **_: Any) -> None:
    metrics.CELERY_TASKS.labels(task.name, state).inc()
    metrics.CELERY_SECONDS.labels(task.name).observe(time.perf_counter() - task.request.started)


@acknowledgement_lost.connect
def _count_lost_acknowledgement(**_: Any) -> None:
    metrics.CELERY_LOST_ACKNOWLEDGEMENTS.inc()


def _serve_metrics(port: int) -> None:
    """Serve the metrics of this process and its pool; under `dashboard up` web serves them, and `port` is 0."""
    if port and metrics.FOLDER:
        start_http_server(port, registry=metrics.registry())


def _begin_pool_process(settings: Config) -> None:
    if metrics.FOLDER:
        metrics.archive_counters(Path(metrics.FOLDER))  # the process is often the replacement of a dead one
    telemetry.start_tracing(settings)


def _end_worker(app: Flask) -> None:
    telemetry.finish()
    with app.app_context():
        process_registry.leave()


def _worker_roles() -> tuple[str, ...]:
    queues = set(celery.amqp.queues.consume_from)
    own = {"worker-payments": PAYMENTS_QUEUE, "worker-webhooks": WEBHOOKS_QUEUE}
    roles = [role for role, queue in own.items() if queue in queues]
    return ("worker", *roles) if queues - set(own.values()) else tuple(roles)


def _sign_of_life(app: Flask, kind: str, roles: Callable[[], tuple[str, ...]]) -> Callable[..., None]:
    """A function that touches the liveness file and, every five seconds, announces the process in Redis."""
    due = 0.0

    def give_sign(**_: Any) -> None:
        nonlocal due
        probe.touch(kind)
        if time.monotonic() < due:
            return
        due = time.monotonic() + HEARTBEAT_SECONDS
        try:
            with app.app_context():
                process_registry.announce(kind, roles())
        except redis.RedisError as error:
            logger.warning("process.announcement_failed", extra={"kind": kind, "error": str(error)})

    return give_sign
