"""Every step of a request has a deadline, also if it asks for an upgrade; an accepted WebSocket has none."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.security.raw_http import request
from tests.security.raw_websocket import WebSocket, connect
from tests.support.databases import environment
from tests.support.processes import free_port, is_open, start, stop, until

REQUEST_SECONDS = 2
WITH_SHORT_DEADLINES = f"""
from app.core import runtime
runtime.patch()
from app.http.server import connection, serving
connection.REQUEST_SECONDS, serving.SWEEP_SECONDS = {REQUEST_SECONDS}, 0.2
from app.cli import main
main()
"""
TARGETS = ("/healthz", "/api/v1/agents", "/socket.io/?EIO=4&transport=polling&sid=x")
METHODS = ("GET", "POST")
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")


@pytest.fixture
def port(sqlite_url: str, redis_url: str, tmp_path: Path) -> Iterator[int]:
    """The port of a web process with a request deadline of two seconds."""
    settings = environment(
        home=tmp_path, database_url=sqlite_url, redis_url=redis_url, signing_key="0123456789abcdef" * 4
    )
    port = free_port()
    command = [sys.executable, "-c", WITH_SHORT_DEADLINES, "web", "--port", str(port)]
    process = start(command, log=tmp_path / "web.log", env={**os.environ, **settings})
    until(lambda: is_open(port) or process.poll() is not None, 90, "web listens")
    assert process.poll() is None, (tmp_path / "web.log").read_text()
    yield port
    stop(process)


def is_closed(port: int, sent: bytes) -> bool:
    """Whether the server closes the connection within the deadline when nothing more is sent."""
    with connect(port, REQUEST_SECONDS + 4) as sock:
        sock.sendall(sent)
        try:
            while sock.recv(65536):
                pass
        except TimeoutError:
            return False
    return True


def test_an_unfinished_upgrade_request_is_closed_at_the_deadline_like_any_other(port: int) -> None:
    unfinished = [
        request(target, *UPGRADE, "Content-Length: 9", method=method) for target in TARGETS for method in METHODS
    ]
    with ThreadPoolExecutor(len(unfinished)) as pool:
        closed = list(pool.map(lambda sent: is_closed(port, sent), unfinished))

    assert all(closed), closed


def test_an_accepted_websocket_has_no_deadline(port: int) -> None:
    with WebSocket(port) as accepted:
        assert is_closed(port, request("/healthz", "Content-Length: 9"))
        assert accepted.is_open
