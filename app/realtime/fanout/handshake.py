"""From the WSGI server's connection to one of ours."""

import socket
from collections.abc import Callable
from typing import Any

from engineio import packet
from engineio.async_drivers.eventlet import WebSocketWSGI

from app import runtime

PROBE_SECONDS = 10.0


class Handshake(WebSocketWSGI):  # type: ignore[misc]
    """eventlet's answer to the upgrade, without compression: deflating costs ten times the sending."""

    def _parse_extension_header(self, _header: str | None) -> None:
        return None


def detach(green: Any) -> socket.socket:
    """Take the connection out of the hands of the WSGI server, which closes its own when its handler returns."""
    old = green.fd
    real: socket.socket = type(old)(fileno=old.detach())
    real.setblocking(False)
    real.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return real


def hold_back(green: Any, hold: bool) -> None:
    """Let the kernel gather what is written until it is told to send: one packet instead of several (Linux)."""
    if hasattr(socket, "TCP_CORK"):
        green.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, int(hold))


def probe(ws: Any, end_poll: Callable[[], None]) -> bool:
    """The client's test of the WebSocket before it gives up polling (Engine.IO protocol, Upgrade).

    `end_poll` answers the poll that the client has still open. The time is limited in all: a WebSocket's own pings
    would make each wait begin anew.
    """
    try:
        with runtime.time_limit(PROBE_SECONDS):
            if ws.wait() != "2probe":
                return False
            ws.send("3probe")
            end_poll()
            return bool(ws.wait() == "5")
    except TimeoutError:
        return False


def emptied(queue: Any) -> list[packet.Packet]:
    """What waits for a poll, now to be written to the wire."""
    waiting = []
    while not queue.empty():
        waiting.append(queue.get(block=False))
        queue.task_done()
    return [pkt for pkt in waiting if pkt is not None and pkt.packet_type != packet.NOOP]
