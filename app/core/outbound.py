"""HTTP requests to other services, each within one time limit that covers everything from name lookup to last byte.

`requests` has no such limit. Its `timeout` bounds one connection attempt and one read: every address of a name and
every byte that arrives starts it again, and the name lookup has none, so a server that sends a byte a second holds
its caller for hours (tests/core/test_outbound.py shows it). Here the request runs in a thread of its own. The caller
stops waiting when the time is up, and the connections are shut down, which ends the thread as well.

`send` follows no redirect, retries nothing and reads a bounded body. It works under eventlet and with plain threads.
It overrides `HTTPConnection._new_conn`, which is private to urllib3: tests/core/test_outbound.py pins its text.

Operators choose the URLs of the services that `send` talks to by default: proxies and certificates come from the
environment, as `requests` reads them. With a `guard` the URL is a caller's: the request goes straight to an address
that the guard allows, by urllib3 alone, and takes from the environment nothing but the certificate authorities.
"""

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import requests
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection

from app.core.outbound_guard import ForbiddenTarget, Guard
from app.core.outbound_sockets import Sockets

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

    def retry_after(self) -> float:
        """Seconds of the Retry-After header (RFC 9110, 10.2.3); 0 when it is missing or malformed.

        A date is compared with the response's own `Date`, so that the two hosts' clocks need not agree.
        """
        text = self.headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdecimal():
            return float(text)
        try:
            now = parsedate_to_datetime(self.headers["Date"]) if "Date" in self.headers else datetime.now(UTC)
            return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
        except (ValueError, TypeError, OverflowError):  # no date, or one without a zone
            return 0.0


class OutboundError(Exception):
    """No complete response. The text names no address and may be shown to clients; `detail` is for the log alone.

    `was_connected`: a connection had been made, so the other side may have acted on the request.
    """

    def __init__(self, reason: str, *, detail: str = "", was_connected: bool) -> None:
        super().__init__(reason)
        self.detail = detail
        self.was_connected = was_connected


class ForbiddenTargetError(OutboundError):
    """The guard does not allow the URL, or an address that its name has; nothing was connected."""


def send(
    method: str,
    url: str,
    limits: Limits,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    guard: Guard | None = None,
) -> Response:
    """Send one request and return its response, whatever the status. Raises OutboundError.

    With a `guard` the response's body is not read.
    """
    sockets = Sockets()
    request = requests.Request(method, url, headers=headers, data=body)
    try:
        return _within(limits.total_seconds, lambda: exchange(request, limits, sockets, guard))
    except TimeoutError as error:
        raise OutboundError(_late(limits), was_connected=sockets.was_connected) from error
    finally:
        sockets.shut_down()


def exchange(request: requests.Request, limits: Limits, sockets: Sockets, guard: Guard | None = None) -> Response:
    """`send` in this thread, for callers that watch the total time themselves: then they shut the sockets down.

    A name lookup does not end with them. Raises OutboundError.
    """
    request.headers = {"User-Agent": _user_agent(), "Accept-Encoding": "identity", **(request.headers or {})}
    try:
        return _direct(request, limits, sockets) if guard is None else _guarded(request, limits, sockets, guard)
    except OutboundError:
        raise
    except ForbiddenTarget as error:
        raise ForbiddenTargetError(str(error), was_connected=False) from error
    except Exception as error:
        is_late = isinstance(error, TimeoutError) or sockets.is_shut_down
        reason = _late(limits) if is_late else f"no response ({type(error).__name__})"
        raise OutboundError(reason, detail=str(error), was_connected=sockets.was_connected) from error
    finally:
        sockets.shut_down()


def _late(limits: Limits) -> str:
    return f"no complete response within {limits.total_seconds:g} s"


@cache
def _user_agent() -> str:
    return f"dashboard-realtime/{version('dashboard-realtime')}"


def _direct(request: requests.Request, limits: Limits, sockets: Sockets) -> Response:
    with requests.Session() as session:
        prepared = session.prepare_request(request)
        settings: Any = session.merge_environment_settings(prepared.url, {}, stream=True, verify=None, cert=None)
    # Not `session.send`, which reads the body of a redirect without a limit.
    timeout = (limits.connect_seconds, limits.read_seconds)
    adapter = _Adapter(sockets)
    with closing(adapter), adapter.send(prepared, timeout=timeout, **settings) as response:
        return Response(response.status_code, response.headers, _read_body(response.raw, limits))


def _guarded(request: requests.Request, limits: Limits, sockets: Sockets, guard: Guard) -> Response:
    parts = guard.parse(str(request.url))
    host, is_tls = str(parts.host).strip("[]"), parts.scheme == "https"
    base: Any = HTTPSConnection if is_tls else HTTPConnection
    tls = {"ssl_context": _tls_context(_ca_bundle())} if is_tls else {}

    class Connection(base):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            return sockets.keep(guard.connect(host, self.port, limits.connect_seconds))

    connection = Connection(host, parts.port or (443 if is_tls else 80), timeout=limits.read_seconds, **tls)
    with closing(connection):
        connection.request(
            request.method, parts.request_uri, body=request.data, headers=request.headers, preload_content=False
        )
        response = connection.getresponse()
        if sockets.is_shut_down:  # http.client takes headers that are cut off for complete ones
            raise TimeoutError
        return Response(response.status, response.headers, b"")


def _ca_bundle() -> str:
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH


@cache
def _tls_context(ca_bundle: str) -> ssl.SSLContext:
    """Reading the certificate authorities for each request would cost more than the request."""
    if Path(ca_bundle).is_dir():
        return ssl.create_default_context(capath=ca_bundle)
    return ssl.create_default_context(cafile=ca_bundle)


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


def _read_body(response: BaseHTTPResponse, limits: Limits) -> bytes:
    """Read with `read1`, which returns what has arrived: other reads wait until their buffer is full."""
    content, deadline = b"", time.monotonic() + limits.read_seconds
    while chunk := response.read1(_CHUNK_BYTES, decode_content=True):
        content += chunk
        if len(content) > limits.max_body_bytes:
            raise OutboundError(f"the response is longer than {limits.max_body_bytes} bytes", was_connected=True)
        if time.monotonic() > deadline:
            raise OutboundError(f"the response's body took longer than {limits.read_seconds:g} s", was_connected=True)
    return content


class _Adapter(HTTPAdapter):
    def __init__(self, sockets: Sockets) -> None:
        super().__init__()
        self._kept = sockets

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        keep = self._kept.keep

        class Connection(pool.ConnectionCls):  # type: ignore[misc]
            def _new_conn(self) -> socket.socket:
                return keep(super()._new_conn())

        pool.ConnectionCls = Connection
        return pool
