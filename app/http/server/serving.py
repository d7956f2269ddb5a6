"""The serving loop of a web process: a time limit for each step of a connection, and a graceful shutdown.

It replaces eventlet.wsgi's accept loop, which ends idle connections at shutdown even if a request has just arrived.
"""

import gc
import itertools
import logging
import signal
import time
from collections.abc import Callable
from typing import Any

from app.core import runtime
from app.http.server.connection import KEEPALIVE_SECONDS, Connection, Handler

logger = logging.getLogger(__name__)

SOCKET_SECONDS = 60.0
LINGER_SECONDS = 0.5
HOOK_SHARE = 0.6
SWEEP_SECONDS = 2.0
DRAIN_POLL_SECONDS = 0.05
ACCEPT_RETRY_SECONDS = 0.02
ACCEPTS_PER_YIELD = 16
GC_THRESHOLD = (10_000, 20, 20)  # connections are many lasting objects; scanning them was a tenth of their cost


def serve(app: Any, listener: Any, *, grace_seconds: float, max_size: int = 16_384) -> None:
    """Serve until SIGTERM or SIGINT, then let requests finish for `grace_seconds`, or until a second signal."""
    stops = runtime.Signals(signal.SIGTERM, signal.SIGINT)
    gc.set_threshold(*GC_THRESHOLD)
    server = _Server(app, listener, max_size)
    loops = [runtime.spawn(server.accept_forever), runtime.spawn(server.sweep_forever)]
    stops.wait()
    for loop in loops:
        loop.kill()
    server.drain(grace_seconds, is_urgent=lambda: len(stops.received) > 1)


class _Server:
    def __init__(self, app: Any, listener: Any, max_size: int) -> None:
        self._listener, self._max_size = listener, max_size
        self._connections: set[Connection] = set()
        options = {"keepalive": KEEPALIVE_SECONDS, "socket_timeout": SOCKET_SECONDS}
        self._http = runtime.http_server(app, listener, Handler, log_output=False, debug=False, **options)
        self._http.get_environ = self._http.get_environ().copy  # the same for each request
        self._http.capitalize_response_headers = False  # they are already; repeating it costs a microsecond each

    def accept_forever(self) -> None:
        """Accept a few connections in a turn of the loop: a thousand that come at once would hold up all others."""
        for accepted in itertools.count(1):
            if accepted % ACCEPTS_PER_YIELD == 0:
                runtime.sleep(0)
            while len(self._connections) >= self._max_size:
                runtime.sleep(ACCEPT_RETRY_SECONDS)
            try:
                sock, address = self._listener.accept()
            except OSError as error:  # the client left the queue, or no file descriptor is free
                logger.warning("web.accept_failed", extra={"error": str(error)})
                runtime.sleep(ACCEPT_RETRY_SECONDS)
            else:
                self._start(sock, address)

    def _start(self, sock: Any, address: Any) -> None:
        connection = Connection(address, sock)
        sock.settimeout(SOCKET_SECONDS)
        self._connections.add(connection)
        runtime.spawn(self._handle, connection)

    def _handle(self, connection: Connection) -> None:
        try:
            self._http.process_request(connection)
        except OSError as error:  # the client disconnected
            logger.debug("web.client_left", extra={"error": str(error)})
        except Exception:
            logger.exception("web.connection_failed")
        finally:
            self._connections.discard(connection)
            connection.shut_down()
            connection[1].close()

    def sweep_forever(self) -> None:
        """Shut down the connections whose deadline has passed."""
        while True:
            runtime.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for connection in [each for each in self._connections if each.deadline < now]:
                connection.shut_down()

    def drain(self, grace_seconds: float, is_urgent: Callable[[], bool]) -> None:
        """Stop accepting, let requests finish and close sockets; responses now say `Connection: close`."""
        started = time.monotonic()
        while pending := runtime.accept_pending(self._listener):
            self._start(*pending)
        self._listener.close()
        self._http.keepalive = False
        hooks = [runtime.spawn(hook, grace_seconds * HOOK_SHARE) for hook in runtime.shutdown_hooks]
        while time.monotonic() - started < grace_seconds and not is_urgent():
            if not self._connections and all(hook.dead for hook in hooks):  # only the hooks close WebSockets
                break
            if time.monotonic() - started > min(LINGER_SECONDS, grace_seconds / 2):
                for connection in [each for each in self._connections if each.is_idle()]:
                    connection.shut_down()
            runtime.sleep(DRAIN_POLL_SECONDS)
        if self._connections:
            logger.warning("web.connections_cut", extra={"connections": len(self._connections)})
