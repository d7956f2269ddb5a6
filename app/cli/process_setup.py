"""Prepares the process of a command: what it inherits from the shell, and how it loads its modules."""

import contextlib
import gc
import os
import resource
import sys
from collections.abc import Iterator

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Celery and Flask read these themselves: CELERY_BROKER_URL would override REDIS_URL.
FOREIGN_SETTINGS = ("CELERY_", "FLASK_")


def prepare() -> None:
    """Clean up streams and environment. Call it before anything opens a file or reads the environment."""
    _open_standard_streams()
    for name in [each for each in os.environ if each.startswith(FOREIGN_SETTINGS)]:
        del os.environ[name]
    _bypass_proxies()


def _open_standard_streams() -> None:
    """Open descriptors 0 to 2 if they are closed; otherwise the next opened file would receive the log."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - stdin, stdout, stderr
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - stays open


def _bypass_proxies() -> None:
    """Exempt this machine's own addresses from proxies."""
    for name in ("no_proxy", "NO_PROXY"):
        given = [each for each in os.environ.get(name, os.environ.get("no_proxy", "")).split(",") if each.strip()]
        os.environ[name] = ",".join([*given, *(each for each in LOOPBACK if each not in given)])


@contextlib.contextmanager
def gc_freeze() -> Iterator[None]:
    """Pause the garbage collector during imports, and exempt what they loaded from later collections.

    Imports run faster, and the pool processes of a worker share the memory of the modules.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def raise_file_limit() -> None:
    """Allow as many open files as the system grants: each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
