"""Liveness of a process on its own machine: a file that it touches while it works, for `dashboard up` and containers.

`python -IS app/observability/probe.py web|worker|beat` is a container's health check: it exits 0 while the file is
fresh. It runs every few seconds beside each process, so this module imports only the standard library.
"""

import contextlib
import os
import sys
import time
from pathlib import Path

ALIVE_FILE = "DASHBOARD_ALIVE_FILE"
PART_NAME = "DASHBOARD_PART"  # the name of a process under `dashboard up`, such as web-2
TOUCH_SECONDS = 2.0
SILENT_SECONDS = 30.0


def alive_file(kind: str) -> Path:
    """The file of this process; under `dashboard up` the environment names it."""
    named = os.environ.get(ALIVE_FILE)
    return Path(named) if named else Path(os.environ.get("DASHBOARD_HOME", ".dashboard")) / "run" / f"{kind}.alive"


def touch(kind: str) -> None:
    """Record that this process works. A full disk is ignored: it must not end the process."""
    path = alive_file(kind)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def is_alive(kind: str) -> bool:
    try:
        age = time.time() - alive_file(kind).stat().st_mtime
    except FileNotFoundError:
        return False
    return age < SILENT_SECONDS


if __name__ == "__main__":
    sys.exit(0 if is_alive(sys.argv[1]) else 1)
