"""What `dashboard up` runs: each part, its command and how it is stopped."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.queues import MAINTENANCE_QUEUE, PAYMENTS_QUEUE, REALTIME_QUEUE

# `-P`: a module in the folder where the user stands must not stand in for ours.
DASHBOARD = (sys.executable, "-P", "-m", "app.cli")
# Together with beat and Redis this stays below the ten seconds that `up` grants itself. Celery's warm shutdown of an
# idle prefork pool takes two to three of them.
WEB_GRACE_SECONDS = 3.0
DEMO_PROTOCOL = "demo"
WORKER_STOP_SECONDS = 3.4


@dataclass(frozen=True)
class Part:
    """One child process. `tells_ready`: it says when it works (app/cli/ready.py)."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_seconds: float = 1.0
    tells_ready: bool = False
    translate: Callable[[str], str] = str


def web_parts(host: str, port: int, count: int, grace_seconds: float) -> list[Part]:
    """`count` processes on one port. Their grace is cut so that all parts stop within ten seconds."""
    grace = min(grace_seconds, WEB_GRACE_SECONDS)
    command: tuple[str, ...] = (*DASHBOARD, "web", "--host", host, "--port", str(port))
    if count > 1:
        command += ("--reuse-port",)
    environment = {"DASHBOARD_SHUTDOWN_GRACE": str(grace)}
    return [
        Part(f"web-{number}", command, environment, stop_seconds=grace + 0.5, tells_ready=True)
        for number in range(1, count + 1)
    ]


def worker_parts() -> list[Part]:
    """Payments have a worker of their own: a payout service that hangs must not hold up the realtime turns."""
    realtime = ("--queues", f"{REALTIME_QUEUE},{MAINTENANCE_QUEUE}", "--concurrency", "2")
    payments = ("--queues", PAYMENTS_QUEUE, "--concurrency", "4", "--name", "payments")
    return [
        Part("worker", (*DASHBOARD, "worker", *realtime), stop_seconds=WORKER_STOP_SECONDS, tells_ready=True),
        Part("worker-payments", (*DASHBOARD, "worker", *payments), stop_seconds=WORKER_STOP_SECONDS, tells_ready=True),
    ]


def beat_part() -> Part:
    return Part("beat", (*DASHBOARD, "beat"))


def migrate_part() -> Part:
    return Part("migrate", (*DASHBOARD, "migrate"))


def demo_part(url: str) -> Part:
    return Part("demo", (*DASHBOARD, "simulate", "--protocol", DEMO_PROTOCOL, "--url", url))
