"""Observability of Celery processes: task metrics, a metrics port, a liveness file, traces and crash reports."""

import time
from contextlib import suppress
from typing import Any

import redis
from celery import signals
from celery.utils.dispatch import Signal
from flask import has_app_context
from prometheus_client import CollectorRegistry, start_http_server

from app.config import Config
from app.core.extensions import redis_clock
from app.observability import exporters, metric_files, metrics, probe
from app.observability.requests import current_request_id

beat_ticked = Signal(name="beat_ticked", providing_args={"leads"})
"""Sent by beat's scheduler each second, whether it leads or is a standby."""


def init_publishing() -> None:
    """Send the request's id and the time of sending with each task of this process."""
    signals.before_task_publish.connect(_add_headers)


def init(settings: Config) -> None:
    """Connect to Celery's signals; nothing is opened before a worker or beat starts."""
    signals.worker_ready.connect(lambda **_: _serve_metrics(settings.metrics_port), weak=False)
    signals.beat_init.connect(lambda **_: _serve_metrics(settings.metrics_port), weak=False)
    signals.worker_ready.connect(lambda **_: _touch_with("worker", signals.heartbeat_sent), weak=False)
    signals.task_prerun.connect(_count_start)
    signals.task_postrun.connect(_count_end)
    signals.worker_process_init.connect(_fold_dead_processes)
    beat_ticked.connect(_touch_beat)
    _connect_exporters(settings)


def _connect_exporters(settings: Config) -> None:
    """Crash reports from every process; traces from the pool's processes, after their fork."""
    for begun in (signals.worker_init, signals.beat_init):
        begun.connect(lambda **_: exporters.report_crashes(settings), weak=False)
    signals.worker_process_init.connect(lambda **_: exporters.start_tracing(settings), weak=False)
    for ended in (signals.worker_process_shutdown, signals.worker_shutdown):
        ended.connect(lambda **_: exporters.finish(), weak=False)


def _add_headers(headers: dict[str, Any], **_: Any) -> None:
    """`sent_at` is a time of Redis's clock."""
    headers["request_id"] = current_request_id()
    if not has_app_context():
        return
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


def _touch_with(kind: str, signal: Any) -> None:
    """Touch the liveness file now and at each `signal`."""
    probe.touch(kind)
    signal.connect(lambda **_: probe.touch(kind), weak=False)


def _touch_beat(**_: Any) -> None:
    probe.touch("beat")


def _serve_metrics(port: int) -> None:
    """Serve the metrics of this process and its pool; under `dashboard up` web serves them, and `port` is 0."""
    folder = metric_files.folder()
    if port and folder is not None:
        registry = CollectorRegistry()
        registry.register(metric_files.Collector(folder))
        start_http_server(port, registry=registry)


def _fold_dead_processes(**_: Any) -> None:
    """A pool process starts, often as the replacement of a dead one."""
    folder = metric_files.folder()
    if folder is not None:
        metric_files.fold(folder)
