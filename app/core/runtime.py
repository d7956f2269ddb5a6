"""The async mode and everything that knows its name.

Only this file and `app/realtime/fanout/websocket.py` import eventlet: its makers call it a project to move
away from, so leaving it must stay a change of two files.
"""

import os
import signal
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

ASYNC_MODE = "eventlet"
BACKLOG = 4096


def patch() -> None:
    """Patch the standard library for cooperative greenlets; call it before any other import.

    psycopg 3 waits in C unless told to wait with `select`, which is what eventlet patches.
    """
    os.environ.setdefault("PSYCOPG_WAIT_FUNC", "wait_select")
    warnings.filterwarnings("ignore", message="(?s).*Eventlet is deprecated")
    import eventlet

    if not eventlet.patcher.is_monkey_patched("socket"):
        eventlet.monkey_patch()


def spawn(function: Callable[..., Any], *args: Any) -> Any:
    """Run `function` beside the caller, as a greenthread; it has `kill()` and is `dead` in the end."""
    import eventlet

    return eventlet.spawn(function, *args)


def sleep(seconds: float) -> None:
    """Let others run; `0` yields once."""
    import eventlet

    eventlet.sleep(seconds)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in whatever the body waits for, when it has taken so long in all."""
    import eventlet

    with eventlet.Timeout(seconds, TimeoutError):
        yield


def listen(host: str, port: int, *, reuse_port: bool = False) -> Any:
    """Open the listening socket; with `reuse_port` several processes share the port (SO_REUSEPORT).

    Raises OSError when somebody else's server holds the address.
    """
    import eventlet

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = eventlet.listen((host, port), family=family, backlog=BACKLOG, reuse_port=reuse_port)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
    return listener


class Signals:
    """Signals that have come, waited for without looking again and again. To be made in the main thread."""

    def __init__(self, *numbers: int) -> None:
        self.received: list[int] = []
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda received, _frame: self.received.append(received))

    def wait(self) -> None:
        """Let others run until the first of them has come."""
        while not self.received:
            self._reader.recv(1)


def take_waiting(listener: Any) -> tuple[Any, Any] | None:
    """Accept a connection that waits in the kernel's queue: `(socket, address)`, or None when there is none."""
    from eventlet.greenio import GreenSocket

    try:
        sock, address = listener.fd.accept()
    except BlockingIOError:
        return None
    return GreenSocket(sock), address


def take_connection(environ: dict[str, Any]) -> socket.socket:
    """Take a request's connection out of the hands of `http_server`, which answers no more; it does not block."""
    from eventlet import wsgi

    old = environ["eventlet.input"].get_socket().fd
    sock: socket.socket = type(old)(fileno=old.detach())
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wsgi.WSGI_LOCAL.already_handled = True
    return sock


def http_server(app: Any, listener: Any, handler_mixin: type, **options: Any) -> Any:
    """eventlet's WSGI server for `app`; `handler_mixin` comes before its HTTP handler.

    Its `process_request([address, socket, state])` serves one connection to its end. Its own accept loop is
    not used: when it leaves, it cuts requests that have just arrived on connections it takes for idle.
    """
    from eventlet import wsgi

    handler = type("Handler", (handler_mixin, wsgi.HttpProtocol), {})
    return wsgi.Server(listener, listener.getsockname(), app, protocol=handler, **options)


_drain_hooks: list[Callable[[float], Any]] = []


def on_drain(hook: Callable[[float], Any]) -> None:
    """Have `hook(seconds)` called when this process is to leave: the time it has to send its sockets away."""
    _drain_hooks.append(hook)


def drain_hooks() -> list[Callable[[float], Any]]:
    return list(_drain_hooks)
