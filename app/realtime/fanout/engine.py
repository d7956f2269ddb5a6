"""Engine.IO for many mostly silent connections: python-engineio's server, with a cheaper socket.

python-engineio keeps three greenlets, a queue and the whole WSGI environment per connection. Here a WebSocket is a
`Wire` that the hub calls; a greenlet exists only while a client's event is handled, and one greenlet pings all.
"""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import engineio
from engineio import exceptions, packet

from app.realtime.fanout.pinger import Pinger
from app.realtime.fanout.socket import EngineSocket

_NO_BODY = BytesIO()
_LEFT_OUT = ("eventlet.input", "eventlet.posthooks", "eventlet.set_idle", "headers_raw")


class Engine(engineio.Server):  # type: ignore[misc]
    """python-engineio's server, made of one that exists already by `install`."""

    pinger: Pinger
    packets_per_second: int = 1000
    on_wire: Callable[[EngineSocket], None]

    def _handle_connect(
        self, environ: dict[str, Any], start_response: Any, transport: str, jsonp_index: int | None = None
    ) -> Any:
        """As in python-engineio, with our socket, without cookies and with a leaner environment kept."""
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
                "pingInterval": int(self.ping_interval + self.ping_interval_grace_period) * 1000,
                "maxPayload": self.max_http_buffer_size,
            },
        )


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
    engine.on_wire = lambda _socket: None
    engine.start_service_task = False  # the pinger does its work
