"""From an HTTP request to a WebSocket of ours (RFC 6455, 4.2), and the test of it that a polling client makes first.

eventlet's own handshake also takes Hixie-75 and 76, which put the request's target into the answer's head.
"""

import base64
import contextlib
import hashlib
import re
import socket
from typing import Any

from engineio import packet

from app.core import runtime
from app.http.problems import RejectedRequest
from app.observability.requests import REQUEST_ID_HEADER, request_id
from app.realtime.fanout import frames
from app.realtime.fanout.websocket import WebSocket

PROBE_SECONDS = 10.0
VERSION = "13"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")


def check_handshake(environ: dict[str, Any]) -> None:
    """Raises RejectedRequest when the request cannot open a WebSocket."""
    connection = {token.strip() for token in environ.get("HTTP_CONNECTION", "").lower().split(",")}
    if environ["REQUEST_METHOD"] != "GET":
        raise RejectedRequest(400, "A WebSocket is opened by a GET request.")
    if environ.get("HTTP_UPGRADE", "").lower() != "websocket" or "upgrade" not in connection:
        raise RejectedRequest(
            400, "A WebSocket is opened with `Upgrade: websocket` and `Connection: Upgrade`, in HTTP/1.1."
        )
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION") != VERSION:
        raise RejectedRequest(426, "The only version of the WebSocket protocol spoken here is 13.")
    if not _KEY.fullmatch(environ.get("HTTP_SEC_WEBSOCKET_KEY", "")):
        raise RejectedRequest(400, "`Sec-WebSocket-Key` is not the base64 of 16 bytes.")


def switch_protocols(environ: dict[str, Any], owner: Any) -> WebSocket:
    """Take the connection over from the WSGI server, and answer the handshake, which `check_handshake` has passed."""
    key = environ["HTTP_SEC_WEBSOCKET_KEY"].encode()
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode()
    given = request_id(environ.get("HTTP_X_REQUEST_ID", ""))
    sock = runtime.take_connection(environ)
    hold_back(sock, hold=True)
    websocket = WebSocket(sock, owner, owner.server.max_http_buffer_size, owner.server.packets_per_second)
    websocket.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Accept: {accept}\r\n{REQUEST_ID_HEADER}: {given}\r\n\r\n".encode()
    )
    return websocket


def hold_back(sock: socket.socket, hold: bool) -> None:
    """Let the kernel gather what is written until it is told to send: one packet instead of several (Linux)."""
    if hasattr(socket, "TCP_CORK"):
        with contextlib.suppress(OSError):  # the client has left
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, int(hold))


class Probe:
    """Owns the WebSocket of a client that still polls, until it has been tested (Engine.IO protocol, Upgrade)."""

    def __init__(self, engine_socket: Any) -> None:
        self.server = engine_socket.server
        self._engine_socket = engine_socket
        self._wire: WebSocket | None = None
        self._is_answered = False

    def begin(self, environ: dict[str, Any]) -> None:
        self._wire = switch_protocols(environ, self)
        hold_back(self._wire.socket, hold=False)
        self._wire.read()
        runtime.spawn(self._expire)

    def message_received(self, _opcode: int, payload: str | bytes) -> None:
        if payload == "2probe" and not self._is_answered:
            self._is_answered = self._engine_socket.upgrading = True
            self._write(b"3probe")
            self._engine_socket.queue.put(packet.Packet(packet.NOOP))  # ends the poll that is still open
        elif payload == "5" and self._is_answered and not self._engine_socket.closed:
            websocket, self._wire = self._wire, None
            self._engine_socket.probe_ended()
            self._engine_socket.adopt(websocket)
        else:
            self.connection_ended("")

    def connection_ended(self, reason: str) -> None:
        websocket, self._wire = self._wire, None
        if websocket is not None:
            self._engine_socket.probe_ended(reason)
            websocket.finish()

    def _write(self, text: bytes) -> None:
        if self._wire is not None:
            self._wire.write(frames.frame(text))

    def _expire(self) -> None:
        """The time is limited in all: a WebSocket's own pings would make each wait begin anew."""
        runtime.sleep(PROBE_SECONDS)
        self.connection_ended("")


def emptied(queue: Any) -> list[packet.Packet]:
    """What waits for a poll, now to be written to the websocket."""
    waiting = []
    while not queue.empty():
        waiting.append(queue.get(block=False))
        queue.task_done()
    return [pkt for pkt in waiting if pkt is not None and pkt.packet_type != packet.NOOP]
