"""How a web process serves: a bound for every step of a connection, and an end that cuts no request."""

import gc
import logging
import signal
import time
from collections.abc import Callable
from typing import Any

from app.core import runtime
from app.http.server.connection import KEEPALIVE_SECONDS, Connection, Handler
from app.http.server.unsent import ReleasesUnsent

logger = logging.getLogger(__name__)

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


class _Handler(ReleasesUnsent, Handler):
    pass


class _Server:
    def __init__(self, app: Any, listener: Any, max_size: int) -> None:
        self._listener, self._max_size = listener, max_size
        self._connections: set[Connection] = set()
        self._http = runtime.http_server(
            app,
            listener,
            _Handler,
            keepalive=KEEPALIVE_SECONDS,
            socket_timeout=SOCKET_SECONDS,
            log_output=False,
            debug=False,
        )
        self._http.capitalize_response_headers = False  # they are: doing it again is a microsecond for each

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
        connection = Connection(address, sock)
        sock.settimeout(SOCKET_SECONDS)
        self._connections.add(connection)
        runtime.spawn(self._handle, connection)

    def _handle(self, connection: Connection) -> None:
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
                self._end_idle()
            runtime.sleep(TICK_SECONDS)
        if self._connections:
            logger.warning("web.cut_off", extra={"connections": len(self._connections)})

    def _end_idle(self) -> None:
        for connection in list(self._connections):
            if connection.is_idle:
                connection.end()
