"""HTTP requests to other services, each within one time limit that covers everything from name lookup to last byte.

`requests` has no such limit. Its `timeout` bounds one connection attempt and one read: every address of a name and
every byte that arrives starts it again, and the name lookup has none, so a server that sends a byte a second holds
its caller for hours (tests/core/test_outbound.py shows it). Here the request runs in a thread of its own. The caller
stops waiting when the time is up, and the connections are shut down, which ends the thread as well.

`send` follows no redirect, retries nothing and reads a bounded body. It works under eventlet and with plain threads.
It overrides `HTTPConnection._new_conn`, which is private to urllib3: tests/core/test_outbound.py pins its text.
"""

import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter

Result = TypeVar("Result")

THREAD_NAME = "outbound-request"
_CHUNK_BYTES = 8192


@dataclass(frozen=True)
class Limits:
    """How long a request may take and how much it may return.

    `connect_seconds` bounds each connection attempt, `read_seconds` each read and the whole body, `total_seconds` all
    of it from name lookup to last byte.
    """

    connect_seconds: float
    read_seconds: float
    total_seconds: float
    max_body_bytes: int


@dataclass(frozen=True)
class Response:
    """A complete response; the names of `headers` are case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class OutboundError(Exception):
    """No complete response. The text names no address and may be shown to clients; `detail` is for the log alone.

    `was_connected`: a connection had been made, so the other side may have acted on the request.
    """

    def __init__(self, reason: str, *, detail: str = "", was_connected: bool) -> None:
        super().__init__(reason)
        self.detail = detail
        self.was_connected = was_connected


class _TooMuch(Exception):
    """The body is longer, or takes longer, than the limits allow."""


def user_agent() -> str:
    """The name and version that requests carry."""
    with suppress(PackageNotFoundError):
        return f"dashboard-realtime/{version('dashboard-realtime')}"
    return "dashboard-realtime"


def send(
    method: str, url: str, limits: Limits, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Response:
    """Send one request and return its response, whatever the status. Raises OutboundError."""
    connections = _Connections()
    sent = {"User-Agent": user_agent(), "Accept-Encoding": "identity", **(headers or {})}

    def exchange() -> Response:
        timeout = (limits.connect_seconds, limits.read_seconds)
        options: dict[str, Any] = {"headers": sent, "data": body, "timeout": timeout, "stream": True}
        with _Session(connections) as session, session.request(method, url, **options) as response:
            content = _read_body(response, limits)
        return Response(response.status_code, response.headers, content)

    try:
        return _within(limits.total_seconds, exchange)
    except _TooMuch as error:
        raise OutboundError(str(error), was_connected=True) from error
    except TimeoutError as error:
        reason = f"no complete response within {limits.total_seconds:g} s"
        raise OutboundError(reason, was_connected=connections.was_made) from error
    except Exception as error:
        reason = f"no response ({type(error).__name__})"
        raise OutboundError(reason, detail=str(error), was_connected=connections.was_made) from error
    finally:
        connections.shut_down()


def _within(seconds: float, call: Callable[[], Result]) -> Result:
    """Run `call` in a thread and return its result. Raises what it raised, or TimeoutError."""
    result, context = Future[Result](), copy_context()

    def run() -> None:
        try:
            result.set_result(context.run(call))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller
            result.set_exception(error)

    threading.Thread(target=run, name=THREAD_NAME, daemon=True).start()
    return result.result(seconds)


def _read_body(response: requests.Response, limits: Limits) -> bytes:
    """Read with `read1`, which returns what has arrived: other reads wait until their buffer is full."""
    content, deadline = b"", time.monotonic() + limits.read_seconds
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        content += chunk
        if len(content) > limits.max_body_bytes:
            raise _TooMuch(f"the response is longer than {limits.max_body_bytes} bytes")
        if time.monotonic() > deadline:
            raise _TooMuch(f"the response's body took longer than {limits.read_seconds:g} s")
    return content


class _Connections:
    """The sockets of one request, so that another thread can shut them down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._is_shut_down = False
        self.was_made = False

    def add(self, connected: socket.socket) -> socket.socket:
        """Keep a duplicate, since TLS takes the socket itself over. Raises OSError after the shutdown."""
        with self._lock:
            if self._is_shut_down:
                connected.close()
                raise OSError("the time for this request is up")
            self._sockets.append(connected.dup())
            self.was_made = True
        return connected

    def shut_down(self) -> None:
        """End every connection, for the thread that reads from it as well."""
        with self._lock:
            self._is_shut_down = True
            while self._sockets:
                with self._sockets.pop() as each, suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


class _Session(requests.Session):
    """Follows no redirect: a signed request goes to the configured address or nowhere."""

    def __init__(self, connections: _Connections) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(connections))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Also keeps `requests` from reading the body of a redirect, which it does without a limit."""


class _Adapter(HTTPAdapter):
    """Adds each socket that it opens, also one to a proxy, to the request's connections."""

    def __init__(self, connections: _Connections) -> None:
        super().__init__()
        self._connections = connections

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        connections = self._connections

        class Connection(pool.ConnectionCls):  # type: ignore[misc]
            def _new_conn(self) -> socket.socket:
                return connections.add(super()._new_conn())

        pool.ConnectionCls = Connection
        return pool
