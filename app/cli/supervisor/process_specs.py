"""What `dashboard up` runs: each part, its command and how it is stopped."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.core.queues import MAINTENANCE_QUEUE, PAYMENTS_QUEUE, REALTIME_QUEUE
from app.observability.probe import SILENT_SECONDS

# `-P`: a module in the folder where the user stands must not stand in for ours.
DASHBOARD = (sys.executable, "-P", "-m", "app.cli")
# Together with beat and Redis this stays below the ten seconds that `up` grants itself. Celery's warm shutdown of an
# idle prefork pool takes two to three of them.
WEB_GRACE_SECONDS = 3.0
DEMO_PROTOCOL = "demo"
WORKER_STOP_SECONDS = 3.4


@dataclass(frozen=True)
class Part:
    """One child process.

    `gives_signs`: it touches its file while it works (app/observability/probe.py). A part that gives no sign for
    `silent_limit` seconds hangs and is replaced; one that `needs_redis` gives none while Redis is away.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_seconds: float = 1.0
    gives_signs: bool = False
    needs_redis: bool = False
    silent_limit: float = float("inf")
    hint: str = ""
    translate: Callable[[str], str] = str


def web_parts(host: str, port: int, count: int, grace_seconds: float) -> list[Part]:
    """`count` processes on one port. Their grace is cut so that all parts stop within ten seconds."""
    grace = min(grace_seconds, WEB_GRACE_SECONDS)
    command: tuple[str, ...] = (*DASHBOARD, "web", "--host", host, "--port", str(port))
    if count > 1:
        command += ("--reuse-port",)
    environment = {"DASHBOARD_SHUTDOWN_GRACE": str(grace)}
    return [
        Part(f"web-{number}", command, environment, grace + 0.5, gives_signs=True, silent_limit=SILENT_SECONDS)
        for number in range(1, count + 1)
    ]


def worker_parts() -> list[Part]:
    """Payments have a worker of their own: a payout service that hangs must not hold up the realtime turns."""
    realtime = ("--queues", f"{REALTIME_QUEUE},{MAINTENANCE_QUEUE}", "--concurrency", "2")
    payments = ("--queues", PAYMENTS_QUEUE, "--concurrency", "4", "--name", "payments")
    return [
        _celery_part("worker", (*DASHBOARD, "worker", *realtime), WORKER_STOP_SECONDS),
        _celery_part("worker-payments", (*DASHBOARD, "worker", *payments), WORKER_STOP_SECONDS),
    ]


def beat_part() -> Part:
    return _celery_part("beat", (*DASHBOARD, "beat"), 1.0)


def _celery_part(name: str, command: tuple[str, ...], stop_seconds: float) -> Part:
    return Part(
        name, command, stop_seconds=stop_seconds, gives_signs=True, needs_redis=True, silent_limit=SILENT_SECONDS
    )


def migrate_part() -> Part:
    return Part("migrate", (*DASHBOARD, "migrate"))


def demo_part(url: str) -> Part:
    return Part("demo", (*DASHBOARD, "simulate", "--protocol", DEMO_PROTOCOL, "--url", url))
