"""Strict parsing of clients' Socket.IO packets: an invalid packet closes its connection and affects nothing else.

python-socketio trusts its clients: an event without a name, a second CONNECT or a client's own "disconnect" event
raise exceptions in its handlers. The reference server closes the connection as well.
"""

import json
import logging
from typing import Any

import socketio
from socketio import packet

from app.observability import metrics
from app.realtime.fanout.frames import CloseReason

logger = logging.getLogger(__name__)

MAX_ATTACHMENTS = 8
MAX_CONNECTS = 10
MAX_NAMESPACE_LENGTH = 64
RESERVED_EVENTS = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)
# python-socketio would treat an event of this name as its catch-all handler and the first argument as a session id.
CATCH_ALL, UNKNOWN_EVENT = "*", "(*)"
_ARRAYS = frozenset({packet.EVENT, packet.BINARY_EVENT, packet.ACK, packet.BINARY_ACK})
_FAULTS = (ValueError, TypeError, LookupError, AttributeError, RecursionError, ArithmeticError)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class PacketJson:
    """JSON as in RFC 8259: NaN, infinities and unlimited nesting are ValueErrors."""

    dumps = staticmethod(json.dumps)

    @staticmethod
    def loads(text: str) -> Any:
        try:
            return json.loads(text, parse_constant=_refuse_constant)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


class StrictPacket(packet.Packet):  # type: ignore[misc]
    """A packet whose shape is checked before it is handled. Raises ValueError."""

    json = PacketJson

    def decode(self, encoded_packet: Any) -> int:
        if not isinstance(encoded_packet, str):
            raise ValueError("unannounced binary data")  # noqa: TRY004 - an invalid packet
        attachments = int(super().decode(encoded_packet))
        if attachments > MAX_ATTACHMENTS:
            raise ValueError("too many attachments")
        if len(self.namespace or "") > MAX_NAMESPACE_LENGTH:
            raise ValueError("the namespace is too long")
        if self.packet_type in _ARRAYS and not isinstance(self.data, list):
            raise ValueError("the payload is not a list")
        if self.packet_type in (packet.EVENT, packet.BINARY_EVENT):
            self._check_event()
        if self.packet_type in (packet.BINARY_EVENT, packet.BINARY_ACK) and not attachments:
            raise ValueError("a binary packet without attachments")
        return attachments

    def _check_event(self) -> None:
        name = self.data[0] if self.data else None
        if isinstance(name, bool) or not isinstance(name, (str, int, float)):  # the reference client allows numbers
            raise ValueError("an event without a name")  # noqa: TRY004 - an invalid packet
        if name in RESERVED_EVENTS:
            raise ValueError(f"the event name {name!r} is reserved")
        if name == CATCH_ALL or not isinstance(name, str):
            self.data[0] = UNKNOWN_EVENT

    @classmethod
    def _reconstruct_binary_internal(cls, data: Any, attachments: list[bytes]) -> Any:
        """As in python-socketio, but only an index from 0 to the last attachment is accepted."""
        if isinstance(data, dict) and data.get("_placeholder") is True:
            number = data.get("num")
            if type(number) is not int or not 0 <= number < len(attachments):
                raise ValueError("a placeholder without an attachment")
            return attachments[number]
        return super()._reconstruct_binary_internal(data, attachments)

    def add_attachment(self, attachment: Any) -> bool:
        if not isinstance(attachment, bytes):
            raise ValueError("an attachment is missing")  # noqa: TRY004 - an invalid packet
        return bool(super().add_attachment(attachment))


class StrictServer(socketio.Server):  # type: ignore[misc]
    """python-socketio's server; `install` turns an existing one into it."""

    def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        try:
            super()._handle_eio_message(eio_sid, data)
        except _FAULTS as error:
            level = logging.INFO if isinstance(error, ValueError) else logging.WARNING
            logger.log(level, "socket.packet_refused", extra={"engineSid": eio_sid, "error": repr(error)[:200]})
            self._binary_packet.pop(eio_sid, None)
            engine_socket = self.eio.sockets.get(eio_sid)
            if engine_socket is not None:
                engine_socket.close(wait=False, abort=True, reason=CloseReason.PARSE_ERROR)

    def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        """Accept one CONNECT: python-socketio would create, and lose, a session for each.

        Raises ValueError after more than ten attempts: each costs as much as a request.
        """
        if self.manager.sid_from_eio_sid(eio_sid, namespace or "/") is not None:
            return
        engine_socket = self.eio.sockets.get(eio_sid)
        if engine_socket is not None:
            engine_socket.connects = getattr(engine_socket, "connects", 0) + 1
            if engine_socket.connects > MAX_CONNECTS:
                raise ValueError("too many attempts to connect")
        if (namespace or "/") in self.handlers:
            super()._handle_connect(eio_sid, namespace, data)
        else:
            refusal = {"message": "Invalid namespace"}
            self._send_packet(eio_sid, self.packet_class(packet.CONNECT_ERROR, data=refusal, namespace=namespace))

    def _handle_event(self, eio_sid: str, namespace: str | None, *arguments: Any) -> None:
        self._require_connect(eio_sid, namespace)
        super()._handle_event(eio_sid, namespace, *arguments)

    def _handle_ack(self, eio_sid: str, namespace: str | None, *arguments: Any) -> None:
        self._require_connect(eio_sid, namespace)
        super()._handle_ack(eio_sid, namespace, *arguments)

    def _require_connect(self, eio_sid: str, namespace: str | None) -> None:
        """Raises ValueError before CONNECT; the reference server closes such a connection too."""
        if self.manager.sid_from_eio_sid(eio_sid, namespace or "/") is None:
            raise ValueError("an event before CONNECT")

    def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        super()._handle_eio_disconnect(eio_sid, reason)
        self._binary_packet.pop(eio_sid, None)


def _log_refusal(message: str, _kind: str) -> None:
    metrics.ENGINE_REFUSALS.inc()
    logger.debug("engineio.refused", extra={"detail": message[:200]})


def install(server: socketio.Server) -> None:
    """Turn Flask-SocketIO's server into a `StrictServer`."""
    server.__class__ = StrictServer
    server.packet_class = StrictPacket
    server.eio._log_error_once = _log_refusal  # noqa: SLF001 - a client's mistake is not our error
    server.eio.on("message", server._handle_eio_message)  # noqa: SLF001 - as its own constructor does
    server.eio.on("disconnect", server._handle_eio_disconnect)  # noqa: SLF001
