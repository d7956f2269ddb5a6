"""Outbound HTTP: one time limit for the whole request, a bounded body, no redirects."""

import contextlib
import hashlib
import inspect
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import requests
from urllib3.connection import HTTPConnection

from app.core.outbound import THREAD_NAME, Limits, OutboundError, send
from tests.support.processes import free_port, until

LIMITS = Limits(connect_seconds=1.0, read_seconds=0.4, total_seconds=0.8, max_body_bytes=100)
DRIP_SECONDS = 0.05
MAX_DRIP_SECONDS = 20.0


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """`serve(response, drips=False)`: the URL of a server that sends this, then single bytes until cut off."""
    listeners = []

    def start(response: bytes, *, drips: bool = False) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=_accept, args=(listener, response, drips), daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield start
    for each in listeners:
        each.shutdown(socket.SHUT_RDWR)
        each.close()


def _accept(listener: socket.socket, response: bytes, drips: bool) -> None:
    with contextlib.suppress(OSError):
        while True:
            caller, _ = listener.accept()
            threading.Thread(target=_answer, args=(caller, response, drips), daemon=True).start()


def _answer(caller: socket.socket, response: bytes, drips: bool) -> None:
    deadline = time.monotonic() + (MAX_DRIP_SECONDS if drips else 0)
    with caller, contextlib.suppress(OSError):
        received = caller.recv(65536).lower()
        caller.sendall(response.replace(b"{agent}", received.partition(b"user-agent: ")[2].partition(b"\r\n")[0]))
        while time.monotonic() < deadline:
            caller.sendall(b"x")
            time.sleep(DRIP_SECONDS)


def response_of(body: bytes, head: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def failure_of(url: str) -> OutboundError:
    with pytest.raises(OutboundError) as failed:
        send("GET", url, LIMITS)
    return failed.value


def test_a_response_has_its_status_headers_and_body(serve):
    response = send("GET", serve(response_of(b"no", b"HTTP/1.1 404 Not Found\r\nX-Reason: gone")), LIMITS)

    assert (response.status, response.headers["x-reason"], response.body) == (404, "gone", b"no")


def test_a_request_names_the_application(serve):
    url = serve(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{agent}")

    assert send("GET", url, LIMITS).body.startswith(b"dashboard-realtime")


def test_plain_requests_waits_for_slow_headers_far_beyond_its_timeout(serve):
    """The reason for `send`: were this to end in time, `requests` would do."""
    url, ended = serve(b"HTTP/1.1 200 OK\r\nX-Slow: ", drips=True), threading.Event()

    def get() -> None:
        with contextlib.suppress(requests.RequestException):
            requests.get(url, timeout=0.2)
        ended.set()

    threading.Thread(target=get, daemon=True).start()

    assert not ended.wait(1.0)


def test_slow_headers_are_cut_off_at_the_total_limit(serve):
    began = time.monotonic()
    failure = failure_of(serve(b"HTTP/1.1 200 OK\r\nX-Slow: ", drips=True))
    waited = time.monotonic() - began

    assert (str(failure), failure.was_connected) == ("no complete response within 0.8 s", True)
    assert waited < MAX_DRIP_SECONDS
    until(lambda: THREAD_NAME not in {each.name for each in threading.enumerate()}, 5, "the request's thread has ended")


def test_a_slow_body_is_cut_off_after_the_read_limit(serve):
    failure = failure_of(serve(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n", drips=True))

    assert str(failure) == "the response's body took longer than 0.4 s"


def test_a_body_over_its_limit_is_not_read_to_its_end(serve):
    assert send("GET", serve(response_of(b" " * 100)), LIMITS).body == b" " * 100
    assert str(failure_of(serve(response_of(b" " * 101)))) == "the response is longer than 100 bytes"


def test_a_redirect_is_returned_and_not_followed(serve):
    elsewhere = serve(response_of(b"secret"))
    response = send("GET", serve(response_of(b"", b"HTTP/1.1 302 Found\r\nLocation: " + elsewhere.encode())), LIMITS)

    assert (response.status, response.body) == (302, b"")


def test_a_refused_connection_counts_as_not_reached_and_only_the_detail_names_its_address():
    port = free_port()
    failure = failure_of(f"http://127.0.0.1:{port}/")

    assert (str(failure), failure.was_connected) == ("no response (ConnectionError)", False)
    assert str(port) in failure.detail


def test_the_overridden_private_method_of_urllib3_is_unchanged():
    """When this fails after an upgrade of urllib3: read the method, adapt app/core/outbound.py, renew the digest."""
    source = inspect.getsource(HTTPConnection._new_conn)

    assert hashlib.sha256(source.encode()).hexdigest()[:16] == "83e6a5dd7db98a0a"
