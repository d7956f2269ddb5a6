"""A container's health: `python -m app.observability.probe web|worker|beat`; exits 0 when the part lives.

Runs every few seconds beside the part, so it imports next to nothing.
"""

import os
import sys
import time
import urllib.request
from pathlib import Path

URL = "http://127.0.0.1:5000/healthz"
ANSWER_SECONDS = 3.0
QUIET_SECONDS = 30.0


def alive_file(part: str) -> Path:
    """What a worker touches with each heartbeat to its broker, and beat with each task it sends."""
    return _run_folder() / f"{part}.alive"


def waiting_file() -> Path:
    """There while a beat waits to lead."""
    return _run_folder() / "beat.waiting"


def _run_folder() -> Path:
    return Path(os.environ.get("DASHBOARD_HOME", ".dashboard")) / "run"


def is_alive(part: str) -> bool:
    if part == "web":
        return _answers()
    return _touched_lately(part) or _waits_for_the_lock(part)


def _touched_lately(part: str) -> bool:
    try:
        age = time.time() - alive_file(part).stat().st_mtime
    except FileNotFoundError:
        return False
    return age < QUIET_SECONDS


def _waits_for_the_lock(part: str) -> bool:
    """A second beat sends nothing while another one leads."""
    return part == "beat" and waiting_file().exists()


def _answers() -> bool:
    try:
        with urllib.request.urlopen(URL, timeout=ANSWER_SECONDS) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if is_alive(sys.argv[1]) else 1)
