"""A thousand connections that never say who they are, or dribble: others are served, and they are ended."""

import socket
import time

import pytest

from tests.security.wire import WebSocket, connect, open_files
from tests.support.pace import slowdown
from tests.support.processes import until
from tests.support.stack import StackMaker

SILENT, DRIBBLING, UNAUTHENTICATED = 400, 200, 400
SLOWEST_SECONDS = 2.0
POOLED = 12  # connections to Redis and the database that the process opens when busy, and keeps


@pytest.mark.slow
def test_a_thousand_idle_connections_leave_others_served_and_are_ended(make_stack: StackMaker) -> None:
    system = make_stack(DASHBOARD_HANDSHAKE_SECONDS="8")
    pid, caller = system.pid("web-1"), system.api.viewer
    caller.get("/protocols").expect(200)
    files = open_files(pid)

    silent = [connect(system.port) for _ in range(SILENT)]
    dribbling = [begin_slowly(system.port) for _ in range(DRIBBLING)]
    strangers = [WebSocket(system.port) for _ in range(UNAUTHENTICATED)]
    assert open_files(pid) >= files + UNAUTHENTICATED
    taken = [timed(lambda: caller.get("/protocols").expect(200)) for _ in range(50)]

    assert max(taken) < SLOWEST_SECONDS * slowdown(), sorted(taken)[-5:]
    until(lambda: not any(each.is_open for each in strangers), 20, "strangers are ended")
    until(lambda: open_files(pid) <= files + POOLED, 45, "file handles are back")
    assert system.metric("dashboard_sessions_ended_total", reason="handshake") == UNAUTHENTICATED
    assert "Traceback" not in system.log
    for each in [*silent, *dribbling, *strangers]:
        each.close()


def begin_slowly(port: int) -> socket.socket:
    sock = connect(port)
    sock.sendall(b"POST /api/v1/progress HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    return sock


def timed(act) -> float:
    started = time.monotonic()
    act()
    return time.monotonic() - started
