"""A worker that hangs while it stops ends all the same, and its log says where it hung."""

import os
import sys
from pathlib import Path

from tests.cli.commands import OWN_SETTINGS
from tests.support import databases
from tests.support.machine_speed import patience
from tests.support.processes import start, stop, until

HANGING = """
import signal
from celery import signals
from app.cli import main, processes

def hang_at_the_end(**_):
    signal.pause()

processes.WORKER_STOP_SECONDS = 1
signals.worker_shutdown.connect(hang_at_the_end)
main(["worker", "--queues", "webhooks"])
"""


def test_a_worker_that_hangs_at_shutdown_ends_with_the_stacks_of_its_threads(
    sqlite_url: str, redis_url: str, tmp_path: Path
) -> None:
    key = "0123456789abcdef" * 4
    own = databases.environment(home=tmp_path, database_url=sqlite_url, redis_url=redis_url, signing_key=key)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OWN_SETTINGS)}
    log = tmp_path / "worker.log"
    worker = start([sys.executable, "-c", HANGING], log=log, env=inherited | own)
    try:
        until(lambda: "ready." in log.read_text(encoding="utf-8"), 30, "the worker is ready")
        worker.terminate()
        assert worker.wait(patience(30)) == 1
    finally:
        stop(worker)
    assert "(most recent call first)" in log.read_text(encoding="utf-8")
