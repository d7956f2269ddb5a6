"""Every step of a connection has its time, whatever a request says of itself; a WebSocket that was accepted stays."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.security.raw import request
from tests.security.wire import WebSocket, connect
from tests.support.databases import environment
from tests.support.processes import free_port, is_open, start, stop, until

REQUEST_SECONDS = 2
IMPATIENT = f"""
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
    """A web process that grants a request two seconds."""
    settings = environment(
        home=tmp_path, database_url=sqlite_url, redis_url=redis_url, signing_key="0123456789abcdef" * 4
    )
    port = free_port()
    command = [sys.executable, "-c", IMPATIENT, "web", "--port", str(port)]
    process = start(command, log=tmp_path / "web.log", env={**os.environ, **settings})
    until(lambda: is_open(port), 90, f"web listens; its log is in {tmp_path}")
    yield port
    stop(process)


def is_ended(port: int, sent: bytes) -> bool:
    """Whether the server ends the connection in its time, when nothing more is sent."""
    with connect(port, REQUEST_SECONDS + 4) as sock:
        sock.sendall(sent)
        try:
            while sock.recv(65536):
                pass
        except TimeoutError:
            return False
    return True


def test_a_request_that_asks_for_a_websocket_is_bounded_like_any_other(port: int) -> None:
    unfinished = [
        request(target, *UPGRADE, "Content-Length: 9", method=method) for target in TARGETS for method in METHODS
    ]
    with ThreadPoolExecutor(len(unfinished)) as pool:
        ended = list(pool.map(lambda sent: is_ended(port, sent), unfinished))

    assert all(ended), ended


def test_a_websocket_that_was_accepted_has_no_deadline(port: int) -> None:
    with WebSocket(port) as accepted:
        assert is_ended(port, request("/healthz", "Content-Length: 9"))
        assert accepted.is_open
