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
from contextlib import closing, suppress
from contextvars import copy_context
from dataclasses import dataclass
from importlib.metadata import version
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


def send(
    method: str, url: str, limits: Limits, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Response:
    """Send one request and return its response, whatever the status. Raises OutboundError."""
    adapter = _Adapter()
    user_agent = f"dashboard-realtime/{version('dashboard-realtime')}"
    sent = {"User-Agent": user_agent, "Accept-Encoding": "identity", **(headers or {})}

    def exchange() -> Response:
        with requests.Session() as session:
            request = session.prepare_request(requests.Request(method, url, headers=sent, data=body))
            settings: Any = session.merge_environment_settings(request.url, {}, stream=True, verify=None, cert=None)
        # Not `session.send`, which reads the body of a redirect without a limit.
        timeout = (limits.connect_seconds, limits.read_seconds)
        with closing(adapter), adapter.send(request, timeout=timeout, **settings) as response:
            return Response(response.status_code, response.headers, _read_body(response, limits))

    try:
        return _within(limits.total_seconds, exchange)
    except OutboundError:
        raise
    except TimeoutError as error:
        reason = f"no complete response within {limits.total_seconds:g} s"
        raise OutboundError(reason, was_connected=adapter.was_connected) from error
    except Exception as error:
        reason = f"no response ({type(error).__name__})"
        raise OutboundError(reason, detail=str(error), was_connected=adapter.was_connected) from error
    finally:
        adapter.shut_down()


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
            raise OutboundError(f"the response is longer than {limits.max_body_bytes} bytes", was_connected=True)
        if time.monotonic() > deadline:
            raise OutboundError(f"the response's body took longer than {limits.read_seconds:g} s", was_connected=True)
    return content


class _Adapter(HTTPAdapter):
    """Keeps the sockets of one request, also one to a proxy, so that another thread can shut them down."""

    def __init__(self) -> None:
        super().__init__()
        self.was_connected = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._is_shut_down = False

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        keep = self._keep

        class Connection(pool.ConnectionCls):  # type: ignore[misc]
            def _new_conn(self) -> socket.socket:
                return keep(super()._new_conn())

        pool.ConnectionCls = Connection
        return pool

    def _keep(self, connected: socket.socket) -> socket.socket:
        """Keep a duplicate, since TLS takes the socket itself over. Raises OSError after the shutdown."""
        with self._lock:
            if self._is_shut_down:
                connected.close()
                raise OSError("the time for this request is up")
            self._sockets.append(connected.dup())
            self.was_connected = True
        return connected

    def shut_down(self) -> None:
        """End every connection, for the thread that reads from it as well."""
        with self._lock:
            self._is_shut_down = True
            while self._sockets:
                with self._sockets.pop() as each, suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
