"""From the WSGI server's connection to one of ours."""

import socket
from typing import Any

from engineio.async_drivers.eventlet import WebSocketWSGI


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
