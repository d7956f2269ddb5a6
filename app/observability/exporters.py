"""Traces and crash reports, where they are configured. Their libraries are imported only then: they are optional."""

import threading
import time
import warnings
from collections.abc import Callable

from flask import Flask

from app.config import Config

SHUTDOWN_SECONDS = 2.0
_shutdowns: list[Callable[[], None]] = []


def instrument(app: Flask, settings: Config) -> None:
    """Have requests, statements and jobs traced, once this process calls `start_tracing`."""
    if settings.otlp_endpoint:
        from app.observability import tracing  # noqa: PLC0415 - optional dependency

        tracing.instrument(app)


def start_tracing(settings: Config) -> None:
    """Send traces from this process; starts a thread, so call it after a fork."""
    if settings.otlp_endpoint:
        from app.observability import tracing  # noqa: PLC0415 - optional dependency

        _shutdowns.append(tracing.start(settings).shutdown)


def report_crashes(settings: Config) -> None:
    """Report crashes from this process and from those it forks."""
    if settings.sentry_dsn:
        # Sentry imports eventlet to see whether the process is patched, and eventlet warns that it is deprecated.
        warnings.filterwarnings("ignore", message="(?s).*Eventlet is deprecated")
        from app.observability import crash_reports  # noqa: PLC0415 - optional dependency

        crash_reports.start(settings)
        _shutdowns.append(crash_reports.shutdown)


def finish() -> None:
    """Send the buffered data, for at most two seconds: a hanging collector must not delay the process's end."""
    threads = [threading.Thread(target=shutdown, daemon=True) for shutdown in _shutdowns]
    _shutdowns.clear()
    for each in threads:
        each.start()
    deadline = time.monotonic() + SHUTDOWN_SECONDS
    for each in threads:
        each.join(max(0.0, deadline - time.monotonic()))
