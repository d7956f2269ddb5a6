"""The asynchronous runtime: eventlet, and the operations that depend on it.

eventlet is in maintenance only. The modules that depend on it are listed in docs/decisions/0011. It is imported late,
because processes that do not use it import this module as well.
"""

import os
import signal
import socket
import struct
import warnings
from collections.abc import Callable
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


def renew_after_fork() -> None:
    """Give a forked process an event loop of its own. The process that it was forked from must not have run one."""
    import eventlet

    eventlet.hubs.use_hub()


def spawn(function: Callable[..., Any], *args: Any) -> Any:
    """Run `function` in a greenthread, which has `kill()` and is `dead` at its end."""
    import eventlet

    return eventlet.spawn(function, *args)


def sleep(seconds: float) -> None:
    """Let other greenthreads run; `0` yields once."""
    import eventlet

    eventlet.sleep(seconds)


def listen(host: str, port: int, *, reuse_port: bool = False) -> Any:
    """Open the listening socket; with `reuse_port` several processes share the port (SO_REUSEPORT).

    Raises OSError when another server uses the address.
    """
    import eventlet

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = eventlet.listen((host, port), family=family, backlog=BACKLOG, reuse_port=reuse_port)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
    return listener


class Signals:
    """Signals received so far, awaited without polling. Must be created in the main thread."""

    def __init__(self, *numbers: int) -> None:
        self.received: list[int] = []
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda received, _frame: self.received.append(received))

    def wait(self) -> None:
        """Let other greenthreads run until the first signal arrives."""
        while not self.received:
            self._reader.recv(1)


def accept_pending(listener: Any) -> tuple[Any, Any] | None:
    """Accept a connection that waits in the kernel's queue: `(socket, address)`, or None when there is none."""
    from eventlet.greenio import GreenSocket

    try:
        sock, address = listener.fd.accept()
    except BlockingIOError:
        return None
    return GreenSocket(sock), address


def detach_socket(environ: dict[str, Any]) -> socket.socket:
    """Take a request's non-blocking socket from the WSGI server, which then sends no response."""
    from eventlet import wsgi

    old = environ["eventlet.input"].get_socket().fd
    sock: socket.socket = type(old)(fileno=old.detach())
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wsgi.WSGI_LOCAL.already_handled = True
    return sock


def reset_connection(environ: dict[str, Any]) -> None:
    """Cut a request's connection with a reset (RST), which no client takes for the end of a response.

    Without eventlet's server it does nothing: an exception in a response's iterator makes others cut the connection.
    """
    if "eventlet.input" in environ:
        sock = detach_socket(environ)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


def http_server(app: Any, listener: Any, handler_mixin: type, **options: Any) -> Any:
    """eventlet's WSGI server for `app`; `handler_mixin` precedes its HTTP handler in the method resolution order.

    Its `process_request([address, socket, state])` serves one connection to its end. Its own accept loop is not used:
    at shutdown it cuts requests that have just arrived on connections it considers idle.
    """
    from eventlet import wsgi

    handler = type("Handler", (handler_mixin, wsgi.HttpProtocol), {})
    return wsgi.Server(listener, listener.getsockname(), app, protocol=handler, **options)


shutdown_hooks: list[Callable[[float], Any]] = []
"""Called with a number of seconds when this process shuts down: the time that each has to close its sockets."""
