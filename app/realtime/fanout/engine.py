"""Engine.IO for many mostly silent connections: python-engineio's server, with a cheaper socket.

python-engineio keeps three greenlets, a queue and the whole WSGI environment per connection. Here a WebSocket is a
`WebSocket` that the hub calls; a greenlet exists only while a client's event is handled, and one greenlet pings all.
"""

import json
import logging
import re
from collections.abc import Callable
from http import HTTPStatus
from io import BytesIO
from typing import Any

import engineio
from engineio import exceptions, packet

from app.http.browser_headers import HEADERS, NO_STORE, STRICT_TRANSPORT
from app.http.problems import Refusal, answer
from app.observability import metrics
from app.observability.requests import REQUEST_ID_HEADER, request_id
from app.realtime.fanout.frames import POLICY_VIOLATION
from app.realtime.fanout.handshake import VERSION, check_handshake, switch_protocols
from app.realtime.fanout.pinger import Pinger
from app.realtime.fanout.socket import EngineSocket
from app.realtime.fanout.websocket import WebSocket

logger = logging.getLogger(__name__)

METHODS = ("GET", "POST", "OPTIONS")
BAD_REQUEST = (3, "Bad request")
# The beginnings of python-engineio's messages, and the errors of the reference server that they stand for.
ERRORS = {
    "Invalid transport for session": BAD_REQUEST,
    "Invalid transport": (0, "Transport unknown"),
    "Invalid session": (1, "Session ID unknown"),
    "Bad handshake method": (2, "Bad handshake method"),
    "Not an accepted origin": (4, "Forbidden"),
    "The client is using": (5, "Unsupported protocol version"),
}
_TRANSPORT = re.compile(r"(?:^|&)transport=([^&]+)")
_SID = re.compile(r"(?:^|&)sid=([^&]*)")
_NO_BODY = BytesIO()
_LEFT_OUT = ("eventlet.input", "eventlet.posthooks", "eventlet.set_idle", "headers_raw")


class Engine(engineio.Server):  # type: ignore[misc]
    """python-engineio's server, made of one that exists already by `install`."""

    pinger: Pinger
    packets_per_second: int = 1000
    max_sessions: int = 20_000
    on_websocket: Callable[[EngineSocket], None]

    @property
    def lingering(self) -> int:
        """How many WebSockets have been told goodbye and are not closed yet."""
        return WebSocket.lingering

    def handle_request(self, environ: dict[str, Any], start_response: Any) -> Any:
        """As in python-engineio, after what it does not look at; every answer has the headers of all others here."""
        given = request_id(environ.get("HTTP_X_REQUEST_ID", ""))
        respond = _with_headers(start_response, environ, given)
        try:
            refusal = self._check(environ)
            if refusal is not None:
                respond(refusal["status"], refusal["headers"])
                return [refusal["response"]]
            return () if self._closes_second_websocket(environ) else super().handle_request(environ, respond)
        except Refusal as error:
            metrics.ENGINE_REFUSALS.inc()
            logger.info("websocket.handshake_refused", extra={"status": int(error.status), "detail": error.detail})
            status, headers, body = answer(error.status, error.detail, given)
            if error.status == HTTPStatus.UPGRADE_REQUIRED:
                headers += [("Sec-WebSocket-Version", VERSION), ("Upgrade", "websocket")]
            start_response(status, headers)
            return [body]
        except OSError:  # the client left
            raise
        except Exception:
            logger.exception("engine.request_failed")
            status, headers, body = answer(500, "The server failed.", given)
            start_response(status, headers)
            return [body]

    def _check(self, environ: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to a request that is against the protocol. Raises Refusal for a WebSocket's handshake."""
        query, method = environ.get("QUERY_STRING", ""), environ["REQUEST_METHOD"]
        transport = _TRANSPORT.search(query)
        if transport is None:
            return self._refuse("Invalid transport")
        if method not in METHODS or (method == "POST" and not _SID.search(query)):
            return self._refuse("Bad handshake method")
        if transport[1] == "websocket" and method != "OPTIONS":
            check_handshake(environ)
        else:
            environ.pop("HTTP_UPGRADE", None)  # some proxies add it to every request
        return None

    def _refuse(self, message: str) -> dict[str, Any]:
        self._log_error_once(message, "")  # counts it
        return self._bad_request(message)

    def _closes_second_websocket(self, environ: dict[str, Any]) -> bool:
        """A session has one WebSocket; the protocol wants another to be opened and closed."""
        sid = _SID.search(environ.get("QUERY_STRING", ""))
        socket = self.sockets.get(sid[1]) if sid and "HTTP_UPGRADE" in environ else None
        if socket is None or not socket.has_websocket:
            return False
        switch_protocols(environ, socket).finish(POLICY_VIOLATION)
        return True

    def _bad_request(self, message: str | None = None) -> dict[str, Any]:
        """As the reference server says it."""
        code, text = next((error for words, error in ERRORS.items() if (message or "").startswith(words)), BAD_REQUEST)
        return {
            "status": "400 Bad Request",
            "headers": [("Content-Type", "application/json")],
            "response": json.dumps({"code": code, "message": text}, separators=(",", ":")).encode(),
        }

    def _ok(self, packets: Any = None, headers: Any = None, jsonp_index: int | None = None) -> dict[str, Any]:
        reply: dict[str, Any] = super()._ok(packets, headers, jsonp_index)
        return reply if packets is not None else {**reply, "response": b"ok"}

    def _handle_connect(
        self, environ: dict[str, Any], start_response: Any, transport: str, jsonp_index: int | None = None
    ) -> Any:
        """As in python-engineio, with our socket, without cookies and with a leaner environment kept."""
        if len(self.sockets) >= self.max_sessions:
            metrics.ENGINE_REFUSALS.inc()
            return {**self._bad_request(), "status": "503 Service Unavailable"}
        sid = self.generate_id()
        socket = self.sockets[sid] = EngineSocket(self, sid)
        socket.send(self._opening(sid, transport))
        refusal = self._trigger_event("connect", sid, lean(environ), run_async=False)
        if refusal is not None and refusal is not True:
            del self.sockets[sid]
            return self._unauthorized(refusal or None)
        socket.schedule_ping()
        if transport == "websocket":
            return socket.handle_get_request(environ, start_response)
        socket.connected = True
        try:
            return self._ok(socket.poll(), jsonp_index=jsonp_index)
        except exceptions.QueueEmpty:
            return self._bad_request()

    def _opening(self, sid: str, transport: str) -> packet.Packet:
        return packet.Packet(
            packet.OPEN,
            {
                "sid": sid,
                "upgrades": self._upgrades(sid, transport),
                "pingTimeout": int(self.ping_timeout * 1000),
                "pingInterval": int((self.ping_interval + self.ping_interval_grace_period) * 1000),
                "maxPayload": self.max_http_buffer_size,
            },
        )


def _with_headers(start_response: Any, environ: dict[str, Any], id_of_request: str) -> Any:
    def respond(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        safe = dict(HEADERS)
        if any(name == "Access-Control-Allow-Origin" for name, _ in headers):
            safe["Cross-Origin-Resource-Policy"] = "cross-origin"
        if environ["wsgi.url_scheme"] == "https":
            headers = [*headers, STRICT_TRANSPORT]
        return start_response(status, [*headers, (REQUEST_ID_HEADER, id_of_request), NO_STORE, *safe.items()], exc_info)

    return respond


def lean(environ: dict[str, Any]) -> dict[str, Any]:
    """What later handlers may ask of the request, without what keeps the WSGI server's objects alive."""
    kept = environ.copy()
    for name in _LEFT_OUT:
        kept.pop(name, None)
    kept["wsgi.input"] = _NO_BODY
    return kept


def install(engine: engineio.Server) -> None:
    """Turn python-socketio's Engine.IO server into ours."""
    engine.__class__ = Engine
    engine.pinger = Pinger(engine)
    engine.on_websocket = lambda _socket: None
    engine.start_service_task = False  # the pinger does its work
