"""The opening handshake of a WebSocket (RFC 6455, 4.2) and Engine.IO's upgrade of a polling client to one.

It replaces `eventlet.websocket`'s, which also accepts Hixie-75 and 76: both echo the request target in the reply.
"""

import base64
import hashlib
import re
from typing import Any

from engineio import packet

from app.core import runtime
from app.http.problems import RejectedRequest
from app.observability.requests import REQUEST_ID_HEADER
from app.realtime.fanout import frames
from app.realtime.fanout.websocket import WebSocket

MAX_PROBE_SECONDS = 10.0
VERSION = "13"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")


def check_handshake(environ: dict[str, Any]) -> None:
    """Raises RejectedRequest when the request cannot open a WebSocket."""
    connection = {token.strip() for token in environ.get("HTTP_CONNECTION", "").lower().split(",")}
    is_upgrade = environ.get("HTTP_UPGRADE", "").lower() == "websocket" and "upgrade" in connection
    if environ["REQUEST_METHOD"] != "GET" or not is_upgrade:
        raise RejectedRequest(
            400, "A WebSocket is opened by a GET with `Upgrade: websocket` and `Connection: Upgrade`, in HTTP/1.1."
        )
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION") != VERSION:
        raise RejectedRequest(426, "Only version 13 of the WebSocket protocol is supported.")
    if not _KEY.fullmatch(environ.get("HTTP_SEC_WEBSOCKET_KEY", "")):
        raise RejectedRequest(400, "`Sec-WebSocket-Key` is not the base64 of 16 bytes.")


def switch_protocols(environ: dict[str, Any], owner: Any, first_frames: bytes = b"") -> WebSocket:
    """Take the connection over from the WSGI server and reply to a handshake that passed `check_handshake`.

    `environ` has the request's id, which `Engine.handle_request` sets.
    """
    key = environ["HTTP_SEC_WEBSOCKET_KEY"].encode()
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode()
    sock = runtime.detach_socket(environ)
    websocket = WebSocket(sock, owner, owner.server.max_http_buffer_size, owner.server.packets_per_second)
    websocket.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Accept: {accept}\r\n{REQUEST_ID_HEADER}: {environ['HTTP_X_REQUEST_ID']}\r\n\r\n".encode()
        + first_frames
    )
    return websocket


class UpgradeProbe:
    """Owns the WebSocket of a polling client until the upgrade is confirmed (Engine.IO protocol, "Upgrade")."""

    def __init__(self, engine_socket: Any, environ: dict[str, Any]) -> None:
        self.server = engine_socket.server
        self._engine_socket = engine_socket
        self._has_replied = False
        websocket = switch_protocols(environ, self)
        self._websocket: WebSocket | None = websocket
        websocket.resume()
        runtime.spawn(self._expire)

    def message_received(self, _opcode: int, payload: str | bytes) -> None:
        if payload == "2probe" and not self._has_replied and self._websocket is not None:
            self._has_replied = self._engine_socket.upgrading = True
            self._websocket.write(frames.frame(b"3probe"))
            self._engine_socket.queue.put(packet.Packet(packet.NOOP))  # ends the open poll
        elif payload == "5" and self._has_replied and not self._engine_socket.closed:
            websocket, self._websocket = self._websocket, None
            self._engine_socket.probe_ended()
            self._engine_socket.adopt(websocket)
        else:
            self.connection_ended("")

    def connection_ended(self, reason: str) -> None:
        websocket, self._websocket = self._websocket, None
        if websocket is not None:
            self._engine_socket.probe_ended(reason)
            websocket.close()

    def _expire(self) -> None:
        """A limit on the whole probe: WebSocket pings would restart a limit on each read."""
        runtime.sleep(MAX_PROBE_SECONDS)
        self.connection_ended("")
