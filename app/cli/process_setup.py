"""What a command takes over from the shell that starts it, and what it does not."""

import os
import sys

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Read by Celery and Flask themselves, past our settings: CELERY_BROKER_URL would override REDIS_URL.
FOREIGN_SETTINGS = ("CELERY_", "FLASK_")


def prepare() -> None:
    """Call it before anything is opened or imported that reads the environment."""
    _open_standard_streams()
    for name in [each for each in os.environ if each.startswith(FOREIGN_SETTINGS)]:
        del os.environ[name]
    _bypass_proxies()


def _open_standard_streams() -> None:
    """Have descriptors 0 to 2 open: in place of a closed one, the next file opened would receive the log."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - stdin, stdout, stderr
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - open until the end
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _bypass_proxies() -> None:
    """This machine's own addresses are never asked for through a proxy."""
    for name in ("no_proxy", "NO_PROXY"):
        given = [each for each in os.environ.get(name, os.environ.get("no_proxy", "")).split(",") if each.strip()]
        os.environ[name] = ",".join([*given, *(each for each in LOOPBACK if each not in given)])
