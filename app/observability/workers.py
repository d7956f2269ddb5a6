"""What Celery processes show of themselves: metrics on a port, and a file that is touched while they work."""

import threading
import time
from datetime import datetime
from typing import Any

from celery import signals
from prometheus_client import CollectorRegistry, start_http_server

from app.config import Config
from app.observability import abroad, metric_files, metrics, probe
from app.observability.requests import current_request_id


def init_publishing() -> None:
    """Have every task that this process sends say where it comes from and when it is due."""
    signals.before_task_publish.connect(_note_origin)


def init(settings: Config) -> None:
    """Connect to Celery's signals; nothing is opened before a worker or beat runs."""
    signals.worker_ready.connect(lambda **_: _serve_metrics(settings.metrics_port), weak=False)
    signals.beat_init.connect(lambda **_: _serve_metrics(settings.metrics_port), weak=False)
    signals.worker_ready.connect(lambda **_: _give_signs("worker", signals.heartbeat_sent), weak=False)
    signals.task_prerun.connect(_count_start)
    signals.task_postrun.connect(_count_end)
    signals.worker_process_init.connect(_fold_dead_processes)
    signals.beat_init.connect(lambda **_: _watch_beat(), weak=False)
    _tell_abroad(settings)


def _tell_abroad(settings: Config) -> None:
    """Crashes from every process; traces from those that run jobs, after their fork: beat begins nothing but ticks."""
    for begun in (signals.worker_init, signals.beat_init):
        begun.connect(lambda **_: abroad.report_crashes(settings), weak=False)
    signals.worker_process_init.connect(lambda **_: abroad.trace(settings), weak=False)
    for ended in (signals.worker_process_shutdown, signals.worker_shutdown):
        ended.connect(lambda **_: abroad.finish(), weak=False)


def _note_origin(headers: dict[str, Any], **_: Any) -> None:
    """Tell the worker whose request this is and when it is due; `eta` is set where a task was sent with a delay."""
    headers["request_id"] = current_request_id()
    due = datetime.fromisoformat(headers["eta"]).timestamp() if headers.get("eta") else time.time()
    headers["due_at"] = due


def _count_start(task: Any, **_: Any) -> None:
    task.request.started = time.perf_counter()
    due = task.request.get("due_at")
    if due is not None:
        metrics.CELERY_WAIT.labels(task.name).observe(max(0.0, time.time() - due))


def _count_end(task: Any, state: str, **_: Any) -> None:
    metrics.CELERY_TASKS.labels(task.name, state).inc()
    metrics.CELERY_SECONDS.labels(task.name).observe(time.perf_counter() - task.request.started)


def _give_signs(kind: str, signal: Any) -> None:
    """Touch the process's file now and with each `signal`."""
    probe.touch(kind)
    signal.connect(lambda **_: probe.touch(kind), weak=False)


def _watch_beat() -> None:
    """Give signs with the tasks that beat sends; until the first of them it waits for its lock, and a thread does."""
    leads = threading.Event()
    signals.before_task_publish.connect(lambda **_: leads.set(), weak=False)
    _give_signs("beat", signals.before_task_publish)

    def wait() -> None:
        while not leads.wait(probe.TOUCH_SECONDS):
            probe.touch("beat")

    threading.Thread(target=wait, daemon=True).start()


def _serve_metrics(port: int) -> None:
    """The numbers of this process and its pool; under `dashboard up` web shows them, and `port` is 0."""
    folder = metric_files.folder()
    if port and folder is not None:
        registry = CollectorRegistry()
        registry.register(metric_files.Collector(folder))
        start_http_server(port, registry=registry)


def _fold_dead_processes(**_: Any) -> None:
    """A pool process begins, often in the place of one that ended."""
    folder = metric_files.folder()
    if folder is not None:
        metric_files.fold(folder)
