"""The async mode and everything that knows its name.

Only this file and `app/realtime/fanout.py` import eventlet: its makers call it a project to move
away from, so leaving it must stay a change of two files.
"""

import os
import socket
import sys
import warnings
from collections.abc import Callable
from typing import Any

ASYNC_MODE = "eventlet"


def patch() -> None:
    """Patch the standard library for cooperative greenlets; call it before any other import.

    psycopg 3 waits in C unless told to wait with `select`, which is what eventlet patches.
    """
    os.environ.setdefault("PSYCOPG_WAIT_FUNC", "wait_select")
    warnings.filterwarnings("ignore", message="(?s).*Eventlet is deprecated")
    import eventlet

    if not eventlet.patcher.is_monkey_patched("socket"):
        eventlet.monkey_patch()


def is_patched() -> bool:
    """Tell whether this process runs on greenlets, without importing eventlet where it does not."""
    patcher = sys.modules.get("eventlet.patcher")
    return bool(patcher and patcher.is_monkey_patched("socket"))


def spawn(function: Callable[..., Any], *args: Any) -> Any:
    """Run `function` beside the caller, as a greenthread."""
    import eventlet

    return eventlet.spawn(function, *args)


def sleep(seconds: float) -> None:
    """Let others run; `0` yields once."""
    import eventlet

    eventlet.sleep(seconds)


def listen(host: str, port: int) -> Any:
    """Open the listening socket; several processes may share one port (SO_REUSEPORT).

    Raises OSError when somebody else's server holds the address.
    """
    import eventlet

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return eventlet.listen((host, port), family=family, backlog=4096, reuse_port=True)
