"""Load from separate processes: `python -m tests.support.load publish|tick|report …`, settings from the environment.

The processes call the app's services directly, without a web server or Celery. Several operations, with `--` between
them, each run in a process of their own, forked when the modules are imported.
"""

import os
import sys
import time

from app.agents import progress
from app.auth.permissions import Role
from app.auth.tokens import Principal
from app.background import create_background_app
from app.config import load_config
from app.core.values import to_json
from app.observability.telemetry import init_logging
from app.realtime import emitter
from app.realtime.events import EventType

READY = "load.ready"
ADMIN = Principal("load", Role.ADMIN, frozenset("*"), time.time() + 3600, "load")

POOL = {"total": "1.00", "available": "1.00", "reserved": "0.00", "paid": "0.00", "currency": "USDC"}


def publish(protocol_id: str, count: str, pause_ms: str, source: str) -> None:
    """Emit `count` pool events to the room; `paymentId` identifies the process and the event."""
    for number in range(int(count)):
        data = {"changeType": "DEPOSIT", "amount": "1.00", **POOL, "paymentId": f"{source}:{number}", "version": number}
        emitter.emit(protocol_id, EventType.BOUNTY_POOL_UPDATED, to_json(data))
        time.sleep(int(pause_ms) / 1000)


def tick(seconds: str, interval_ms: str) -> None:
    """Tick like beat's task, at this interval and for this time."""
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        emitter.tick()
        time.sleep(int(interval_ms) / 1000)


def report(agent_id: str, protocol_id: str, count: str, pause_ms: str, complete_every: str) -> None:
    """Report progress `count` times; each `complete_every`-th report completes its task (0: none)."""
    every = int(complete_every)
    for number in range(1, int(count) + 1):
        completes = every and number % every == 0
        task = f"task {number // every if completes else number // every + 1}" if every else "scan"
        fields = {"protocol_id": protocol_id, "task": task, "progress": number % 101, "next_task": None}
        fields |= {"status": "COMPLETED" if completes else "RUNNING", "estimated_completion": None, "error": None}
        progress.report(agent_id, fields, ADMIN)
        time.sleep(int(pause_ms) / 1000)


def main() -> None:
    settings = load_config()
    init_logging(settings)
    first, *others = [each.split() for each in " ".join(sys.argv[1:]).split(" -- ")]
    children = []
    for each in others:
        if child := os.fork():
            children.append(child)
        else:
            first, children = each, []
            break
    with create_background_app(settings).app_context():
        print(READY, flush=True)
        {"publish": publish, "tick": tick, "report": report}[first[0]](*first[1:])
    failures = [child for child in children if os.waitpid(child, 0)[1]]
    if failures:
        sys.exit(f"{len(failures)} operations failed")


if __name__ == "__main__":
    main()
