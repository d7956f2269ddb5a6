"""What clients may send: Socket.IO packets are read strictly, and whatever is wrong with one is its sender's fault.

python-socketio trusts its clients: an event without a name, a second CONNECT or a client's own "disconnect" event
reach code that never expected them. As in the reference server such a packet ends the connection it came on, and
nothing else.
"""

import json
import logging
from typing import Any

import socketio
from socketio import packet

from app.observability import metrics

logger = logging.getLogger(__name__)

MAX_ATTACHMENTS = 8
MAX_CONNECTS = 10
MAX_NAMESPACE_LENGTH = 64
RESERVED_EVENTS = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)
# An event of this name would be taken for the handler of all others, and its first argument for somebody's session.
CATCH_ALL, UNKNOWN = "*", "(*)"
_ARRAYS = frozenset({packet.EVENT, packet.BINARY_EVENT, packet.ACK, packet.BINARY_ACK})
_FAULTS = (ValueError, TypeError, LookupError, AttributeError, RecursionError, ArithmeticError)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class StrictJson:
    """JSON as RFC 8259 has it, for packets: no NaN, no infinities; nesting without end is a fault of the text."""

    dumps = staticmethod(json.dumps)

    @staticmethod
    def loads(text: str) -> Any:
        try:
            return json.loads(text, parse_constant=_refuse)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


class StrictPacket(packet.Packet):  # type: ignore[misc]
    """A packet whose shape is checked before anything looks into it. Raises ValueError."""

    json = StrictJson

    def decode(self, encoded_packet: Any) -> int:
        if not isinstance(encoded_packet, str):
            raise ValueError("binary data that no packet announced")  # noqa: TRY004 - a fault of the text
        attachments = int(super().decode(encoded_packet))
        if attachments > MAX_ATTACHMENTS:
            raise ValueError("too many attachments")
        if len(self.namespace or "") > MAX_NAMESPACE_LENGTH:
            raise ValueError("the namespace is too long")
        if self.packet_type in _ARRAYS and not isinstance(self.data, list):
            raise ValueError("the payload is not a list")
        if self.packet_type in (packet.EVENT, packet.BINARY_EVENT):
            _check_event(self.data)
        if self.packet_type in (packet.BINARY_EVENT, packet.BINARY_ACK) and not attachments:
            raise ValueError("a binary packet without attachments")
        return attachments

    @classmethod
    def _reconstruct_binary_internal(cls, data: Any, attachments: list[bytes]) -> Any:
        """As in python-socketio, which takes any index that Python does."""
        if isinstance(data, dict) and data.get("_placeholder") is True:
            number = data.get("num")
            if type(number) is not int or not 0 <= number < len(attachments):
                raise ValueError("a placeholder of no attachment")
            return attachments[number]
        return super()._reconstruct_binary_internal(data, attachments)

    def add_attachment(self, attachment: Any) -> bool:
        if not isinstance(attachment, bytes):
            raise ValueError("an attachment is missing")  # noqa: TRY004 - a fault of the text
        return bool(super().add_attachment(attachment))


def _check_event(data: Any) -> None:
    if data and isinstance(data[0], (int, float)) and not isinstance(data[0], bool):
        data[0] = UNKNOWN  # the reference client may name an event so; nobody here knows it
    if not data or not isinstance(data[0], str):
        raise ValueError("an event without a name")
    if data[0] in RESERVED_EVENTS:
        raise ValueError(f"the event {data[0]!r} is the protocol's own")
    if data[0] == CATCH_ALL:
        data[0] = UNKNOWN


class StrictServer(socketio.Server):  # type: ignore[misc]
    """python-socketio's server, made of one that exists already by `install`."""

    def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        try:
            super()._handle_eio_message(eio_sid, data)
        except _FAULTS as error:
            level = logging.INFO if isinstance(error, ValueError) else logging.WARNING
            logger.log(level, "socket.packet_refused", extra={"engineSid": eio_sid, "error": repr(error)[:200]})
            self._binary_packet.pop(eio_sid, None)
            engine_socket = self.eio.sockets.get(eio_sid)
            if engine_socket is not None:
                engine_socket.close(wait=False, abort=True, reason="parse error")

    def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        """Let a connection connect once: python-socketio would make, and lose, a session for each CONNECT.

        Raises ValueError for who goes on trying after several refusals: each costs as much as a request.
        """
        if self._sid_of(eio_sid, namespace) is not None:
            return
        self._count_connect(self.eio.sockets.get(eio_sid))
        if (namespace or "/") in self.handlers:
            super()._handle_connect(eio_sid, namespace, data)
        else:
            refusal = {"message": "Invalid namespace"}
            self._send_packet(eio_sid, self.packet_class(packet.CONNECT_ERROR, data=refusal, namespace=namespace))

    def _handle_event(self, eio_sid: str, namespace: str | None, id: int | None, data: Any) -> None:  # noqa: A002
        self._demand_connect(eio_sid, namespace)
        super()._handle_event(eio_sid, namespace, id, data)

    def _handle_ack(self, eio_sid: str, namespace: str | None, id: int, data: Any) -> None:  # noqa: A002
        self._demand_connect(eio_sid, namespace)
        super()._handle_ack(eio_sid, namespace, id, data)

    def _demand_connect(self, eio_sid: str, namespace: str | None) -> None:
        """Raises ValueError before CONNECT, as the reference server closes such a connection."""
        if self._sid_of(eio_sid, namespace) is None:
            raise ValueError("an event before CONNECT")

    def _sid_of(self, eio_sid: str, namespace: str | None) -> str | None:
        sid: str | None = self.manager.sid_from_eio_sid(eio_sid, namespace or "/")
        return sid

    def _count_connect(self, engine_socket: Any) -> None:
        if engine_socket is None:
            return
        engine_socket.connects += 1
        if engine_socket.connects > MAX_CONNECTS:
            raise ValueError("too many attempts to connect")

    def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        super()._handle_eio_disconnect(eio_sid, reason)
        self._binary_packet.pop(eio_sid, None)


def _note_refusal(message: str, _kind: str) -> None:
    metrics.ENGINE_REFUSALS.inc()
    logger.debug("engine.refused", extra={"detail": message[:200]})


def install(server: socketio.Server) -> None:
    """Turn Flask-SocketIO's server into the strict one."""
    server.__class__ = StrictServer
    server.packet_class = StrictPacket
    server.eio._log_error_once = _note_refusal  # noqa: SLF001 - what strangers ask for is no error of ours
    server.eio.on("message", server._handle_eio_message)  # noqa: SLF001 - as its own constructor does
    server.eio.on("disconnect", server._handle_eio_disconnect)  # noqa: SLF001
