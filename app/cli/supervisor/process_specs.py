"""The processes that `dashboard up` runs: their commands, signs of life and stop order."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.core.queues import MAINTENANCE_QUEUE, PAYMENTS_QUEUE, REALTIME_QUEUE
from app.observability.probe import SILENT_SECONDS

# `-P`: no module of the working directory may replace ours.
DASHBOARD = (sys.executable, "-P", "-m", "app.cli")
DEMO_PROTOCOL = "demo"
# All phases of a stop together take less than ten seconds. Celery's warm shutdown of an idle prefork pool takes two
# to three of them.
WEB_GRACE_SECONDS = 3.0
WORKER_STOP_SECONDS = 3.4
STOP_WEB, STOP_CELERY, STOP_REDIS = range(3)


@dataclass(frozen=True)
class ProcessSpec:
    """One process.

    `touches_alive_file`: it touches its file while it works (app/observability/probe.py). A process without a sign
    of life for `max_silent_seconds` hangs and is replaced; one that `needs_redis` is not judged while Redis is away.
    `stop_phase`: processes of a lower phase are stopped first.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_phase: int = STOP_WEB
    stop_seconds: float = 1.0
    touches_alive_file: bool = False
    needs_redis: bool = False
    max_silent_seconds: float = float("inf")
    start_failure_hint: str = ""
    translate_line: Callable[[str], str] = str


def web_specs(host: str, port: int, count: int, grace_seconds: float) -> list[ProcessSpec]:
    """`count` web processes on one port, with a grace period that fits into the ten seconds of a stop."""
    grace = min(grace_seconds, WEB_GRACE_SECONDS)
    command = (*DASHBOARD, "web", "--host", host, "--port", str(port), *(["--reuse-port"] if count > 1 else []))
    return [
        ProcessSpec(
            f"web-{number}",
            command,
            {"DASHBOARD_SHUTDOWN_GRACE": str(grace)},
            stop_seconds=grace + 0.5,
            touches_alive_file=True,
            max_silent_seconds=SILENT_SECONDS,
        )
        for number in range(1, count + 1)
    ]


def celery_specs() -> list[ProcessSpec]:
    """Beat and the workers. Payments have their own, so that a payout service that hangs does not delay room drains."""
    realtime = ("worker", "--queues", f"{REALTIME_QUEUE},{MAINTENANCE_QUEUE}", "--concurrency", "2")
    payments = ("worker", "--queues", PAYMENTS_QUEUE, "--concurrency", "4", "--name", "payments")
    return [
        _celery_spec("beat", ("beat",), stop_seconds=1.0),
        _celery_spec("worker", realtime, WORKER_STOP_SECONDS),
        _celery_spec("worker-payments", payments, WORKER_STOP_SECONDS),
    ]


def _celery_spec(name: str, arguments: tuple[str, ...], stop_seconds: float) -> ProcessSpec:
    return ProcessSpec(
        name,
        (*DASHBOARD, *arguments),
        stop_phase=STOP_CELERY,
        stop_seconds=stop_seconds,
        touches_alive_file=True,
        needs_redis=True,
        max_silent_seconds=SILENT_SECONDS,
    )


def migrate_spec() -> ProcessSpec:
    return ProcessSpec("migrate", (*DASHBOARD, "migrate"))


def demo_spec(url: str) -> ProcessSpec:
    command = (*DASHBOARD, "simulate", "--protocol", DEMO_PROTOCOL, "--url", url)
    return ProcessSpec("demo", command, stop_seconds=WEB_GRACE_SECONDS)
