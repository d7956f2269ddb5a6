"""How a web process serves: a bound for every step of a connection, and an end that cuts no request."""

import contextlib
import gc
import logging
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from app import runtime
from app.request_head import QuickHead

logger = logging.getLogger(__name__)

FIRST_REQUEST_SECONDS = 20.0
KEEPALIVE_SECONDS = 75
HEADER_SECONDS = 10.0
REQUEST_SECONDS = 120.0
SOCKET_SECONDS = 60.0
LINGER_SECONDS = 0.5
HOOK_SHARE = 0.6
SWEEP_SECONDS = 2.0
TICK_SECONDS = 0.05
FULL_SECONDS = 0.02
COLLECT_AFTER = (10_000, 20, 20)  # connections are many objects that stay: looking for garbage cost a tenth of each


def serve(app: Any, listener: Any, *, grace_seconds: float, max_size: int = 16_384) -> None:
    """Serve until SIGTERM or SIGINT, then let what was accepted end, for at most `grace_seconds`."""
    stops = runtime.Signals(signal.SIGTERM, signal.SIGINT)
    gc.set_threshold(*COLLECT_AFTER)
    server = _Server(app, listener, max_size)
    loops = [runtime.spawn(server.accept_forever), runtime.spawn(server.sweep_forever)]
    stops.wait()
    for loop in loops:
        loop.kill()
    server.drain(grace_seconds, in_a_hurry=lambda: len(stops.received) > 1)


class _Connection(list[Any]):
    """`[address, socket, state]`, as eventlet.wsgi wants it, and its `deadline` in monotonic seconds."""

    __slots__ = ("deadline", "upgraded")
    __hash__ = object.__hash__  # type: ignore[assignment] # a connection is itself, whatever it holds

    def __init__(self, address: Any, sock: Any) -> None:
        super().__init__((address, sock, "idle"))
        self.deadline = time.monotonic() + FIRST_REQUEST_SECONDS
        self.upgraded = False

    def __eq__(self, other: object) -> bool:
        return self is other

    @property
    def is_idle(self) -> bool:
        """Waits for a request of which nothing has arrived."""
        if self.upgraded or self[2] != "idle":
            return False
        try:
            return not self[1].fd.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self[1].shutdown(socket.SHUT_RDWR)


class _TimedHandler(QuickHead):
    """Sets the deadline of each step, so that a client that dribbles bytes does not stay."""

    conn_state: _Connection
    connection: Any
    rfile: Any
    wfile: Any

    def _read_request_line(self) -> Any:
        line = super()._read_request_line()  # type: ignore[misc]
        self.conn_state.deadline = time.monotonic() + HEADER_SECONDS
        return line

    def log_message(self, template: str, *values: Any) -> None:
        """Python's own server writes to standard error whatever a stranger sends."""
        logger.debug("web.bad_request", extra={"detail": (template % values)[:200]})

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()  # type: ignore[misc]
        self.conn_state.upgraded = environ.get("HTTP_UPGRADE", "").lower() == "websocket"
        if self.conn_state.upgraded:
            self.conn_state.deadline = float("inf")
            self.connection.settimeout(None)  # Engine.IO's pings find out who is gone
        else:
            self.conn_state.deadline = time.monotonic() + REQUEST_SECONDS
        return environ

    def finish(self) -> None:
        """Let go of the connection even when the client is gone: its file handle is free once both files are closed."""
        try:
            super().finish()  # type: ignore[misc]
        finally:
            for file in (self.wfile, self.rfile):
                with contextlib.suppress(OSError, ValueError):
                    file.close()

    def handle_one_request(self) -> None:
        super().handle_one_request()  # type: ignore[misc]
        self.conn_state.upgraded = False
        self.conn_state.deadline = time.monotonic() + KEEPALIVE_SECONDS


class _Server:
    def __init__(self, app: Any, listener: Any, max_size: int) -> None:
        self._listener, self._max_size = listener, max_size
        self._connections: set[_Connection] = set()
        self._http = runtime.http_server(
            app,
            listener,
            _TimedHandler,
            keepalive=KEEPALIVE_SECONDS,
            socket_timeout=SOCKET_SECONDS,
            log_output=False,
            debug=False,
        )

    def accept_forever(self) -> None:
        while True:
            while len(self._connections) >= self._max_size:
                runtime.sleep(FULL_SECONDS)
            try:
                sock, address = self._listener.accept()
            except OSError as error:  # a client that left in the queue, or no file descriptor is free
                logger.warning("web.accept_failed", extra={"error": str(error)})
                runtime.sleep(FULL_SECONDS)
            else:
                self._take(sock, address)

    def _take(self, sock: Any, address: Any) -> None:
        connection = _Connection(address, sock)
        sock.settimeout(SOCKET_SECONDS)
        self._connections.add(connection)
        runtime.spawn(self._handle, connection)

    def _handle(self, connection: _Connection) -> None:
        try:
            self._http.process_request(connection)
        except OSError as error:  # the client went away: its business
            logger.debug("web.client_left", extra={"error": str(error)})
        except Exception:
            logger.exception("web.connection_failed")
        finally:
            self._connections.discard(connection)
            connection.end()
            connection[1].close()

    def sweep_forever(self) -> None:
        """End the connections whose step has taken too long."""
        while True:
            runtime.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for connection in [each for each in self._connections if each.deadline < now]:
                connection.end()

    def drain(self, grace_seconds: float, in_a_hurry: Callable[[], bool]) -> None:
        """Stop accepting, let requests finish, send sockets away; answers now say `Connection: close`."""
        started = time.monotonic()
        while waiting := runtime.take_waiting(self._listener):
            self._take(*waiting)
        self._listener.close()
        self._http.keepalive = False
        hooks = [runtime.spawn(hook, grace_seconds * HOOK_SHARE) for hook in runtime.drain_hooks()]
        while time.monotonic() - started < grace_seconds and not in_a_hurry():
            if not self._connections and all(hook.dead for hook in hooks):  # WebSockets are the hooks' care alone
                break
            if time.monotonic() - started > min(LINGER_SECONDS, grace_seconds / 2):
                self._end_idle(sockets_too=all(hook.dead for hook in hooks))
            runtime.sleep(TICK_SECONDS)
        if self._connections:
            logger.warning("web.cut_off", extra={"connections": len(self._connections)})

    def _end_idle(self, *, sockets_too: bool) -> None:
        for connection in list(self._connections):
            if connection.is_idle or (sockets_too and connection.upgraded):
                connection.end()
