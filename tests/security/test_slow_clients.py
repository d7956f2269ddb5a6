"""A thousand idle, slow or unauthenticated connections do not delay other clients and are closed in time."""

import socket
import time

import pytest

from tests.security.raw_websocket import WebSocket, connect, open_files
from tests.support.machine_speed import slowdown
from tests.support.processes import until
from tests.support.stack import StackMaker

SILENT, SLOW, UNAUTHENTICATED = 400, 200, 400
MAX_SECONDS = 2.0
POOLED = 12  # connections to Redis and the database that the process opens under load and keeps


@pytest.mark.slow
def test_a_thousand_idle_connections_do_not_delay_other_clients_and_are_closed(make_web: StackMaker) -> None:
    system = make_web(DASHBOARD_HANDSHAKE_SECONDS="8")
    pid, caller = system.pid("web-1"), system.api.viewer
    caller.get("/protocols").expect(200)
    files = open_files(pid)

    silent = [connect(system.port) for _ in range(SILENT)]
    slow = [begin_slowly(system.port) for _ in range(SLOW)]
    unauthenticated = [WebSocket(system.port) for _ in range(UNAUTHENTICATED)]
    assert open_files(pid) >= files + UNAUTHENTICATED
    durations = [timed(lambda: caller.get("/protocols").expect(200)) for _ in range(50)]

    assert max(durations) < MAX_SECONDS * slowdown(), sorted(durations)[-5:]
    until(lambda: not any(each.is_open for each in unauthenticated), 20, "unauthenticated connections are closed")
    until(lambda: open_files(pid) <= files + POOLED, 45, "the files are closed")
    assert system.metric("dashboard_sessions_ended_total", reason="handshake") == UNAUTHENTICATED
    assert "Traceback" not in system.log
    for each in [*silent, *slow, *unauthenticated]:
        each.close()


def begin_slowly(port: int) -> socket.socket:
    sock = connect(port)
    sock.sendall(b"POST /api/v1/progress HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    return sock


def timed(act) -> float:
    started = time.monotonic()
    act()
    return time.monotonic() - started
