"""What is told to others, where it is configured: traces and crash reports. Imports neither library where it is not."""

import threading
import time
import warnings
from collections.abc import Callable

from flask import Flask

from app.config import Config

END_SECONDS = 2.0
_endings: list[Callable[[], None]] = []


def instrument(app: Flask, settings: Config) -> None:
    """Have requests, statements and jobs traced, once this process calls `trace`."""
    if settings.otlp_endpoint:
        from app.observability import telemetry

        telemetry.instrument(app)


def trace(settings: Config) -> None:
    """Send traces from this process; after a fork, since it starts a thread."""
    if settings.otlp_endpoint:
        from app.observability import telemetry

        _endings.append(telemetry.start(settings).shutdown)


def report_crashes(settings: Config) -> None:
    """Report crashes from this process and from those it forks."""
    if settings.sentry_dsn:
        # Sentry looks whether the process is patched, and so imports in workers too what complains of its age there.
        warnings.filterwarnings("ignore", message="(?s).*Eventlet is deprecated")
        from app.observability import crash_reports

        crash_reports.start(settings)
        _endings.append(crash_reports.finish)


def finish() -> None:
    """Send what waits, for two seconds at most: a collector that hangs must not hold up the end."""
    endings = [threading.Thread(target=ending, daemon=True) for ending in _endings]
    _endings.clear()
    for each in endings:
        each.start()
    deadline = time.monotonic() + END_SECONDS
    for each in endings:
        each.join(max(0.0, deadline - time.monotonic()))
