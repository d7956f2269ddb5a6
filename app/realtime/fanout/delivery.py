"""Delivers a room's events to its connections: each event is framed once and written straight to every WebSocket."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from engineio import packet as engine_packet

from app.core import runtime
from app.observability import metrics
from app.realtime.fanout.frames import frame
from app.realtime.fanout.websocket import WebSocket

CLIENTS_PER_YIELD = 250


class QueueMessage(msgspec.Struct):
    """One event in python-socketio's queue format; the event's arguments stay undecoded."""

    method: str
    event: str
    data: list[msgspec.Raw]
    namespace: str = "/"
    binary: bool = False
    skip_sid: Any = None
    callback: Any = None

    @property
    def is_plain(self) -> bool:
        """Whether all recipients get the same bytes and none acknowledges them."""
        return not (self.binary or self.skip_sid or self.callback) and self.namespace == "/"

    def packet(self) -> bytes:
        """The Engine.IO message packet that holds the Socket.IO event."""
        parts = b",".join((msgspec.json.encode(self.event), *(bytes(raw) for raw in self.data)))
        return b"42[" + parts + b"]"


class _Envelope(msgspec.Struct):
    seq: str | int | None = None


_decode_message = msgspec.json.Decoder(QueueMessage).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def decode(body: bytes) -> QueueMessage:
    """Raises msgspec.MsgspecError."""
    return _decode_message(body)


def seq_of(message: QueueMessage) -> int | None:
    """The event's sequence number in its room."""
    seq = _decode_envelope(message.data[0]).seq if message.data else None
    return None if seq is None else int(seq)


class RoomRecipients:
    """A room's connections in this process, by the way to reach them. Never updated: a changed room gets a new one."""

    __slots__ = ("connecting", "polling", "sends", "websockets")

    def __init__(self, websockets: Iterable[WebSocket] = ()) -> None:
        self.websockets = list(websockets)
        self.sends: list[Callable[[bytes], int]] = [websocket.send for websocket in self.websockets]
        self.polling: list[Any] = []
        self.connecting: list[str] = []

    def add(self, websocket: WebSocket) -> None:
        self.websockets.append(websocket)
        self.sends.append(websocket.send)

    def write(self, data: bytes, first: int, end: int) -> None:
        """Write to `websockets[first:end]`, straight to their sockets while no WebSocket has a backlog.

        Loading one more object per client, the WebSocket, would add a tenth to the cost of a delivery.
        """
        if WebSocket.backlogged:
            for websocket in self.websockets[first:end]:
                websocket.write(data)
            return
        size = len(data)
        for number, send in enumerate(self.sends[first:end]):
            try:
                sent = send(data)
            except OSError:
                self.websockets[first + number].write(data)
            else:
                if sent != size:
                    self.websockets[first + number].buffer(data[sent:])


class Deliverer:
    """Caches each room's recipients until its members change, and holds events for members still connecting."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._cached: dict[str, RoomRecipients] = {}
        self._held: dict[str, list[bytes]] = {}
        self._written = 0

    def invalidate(self, rooms: Iterable[Any]) -> None:
        for room in rooms:
            self._cached.pop(room, None)

    def invalidate_all(self) -> None:
        self._cached.clear()

    def deliver(self, room: str, packets: list[bytes]) -> None:
        """Send events to a room in order, yielding after every 250 writes."""
        recipients = self._recipients(room)
        metrics.FANOUT_DELIVERIES.inc(len(packets) * (len(recipients.websockets) + len(recipients.polling)))
        for sid in recipients.connecting:
            self._held.setdefault(sid, []).extend(packets)
        for socket in recipients.polling:
            _send_packets(socket, packets)
        self._write(room, recipients, b"".join(map(frame, packets)))

    def deliver_held(self, sid: str, socket: Any) -> None:
        """Send the events held for a connection, once its CONNECT packet is sent."""
        packets = self._held.pop(sid, None)
        if packets:
            _send_packets(socket, packets)

    def discard_held(self, sid: str) -> None:
        self._held.pop(sid, None)

    def _write(self, room: str, recipients: RoomRecipients, data: bytes) -> None:
        first = 0
        while first < len(recipients.websockets):
            end = min(first + CLIENTS_PER_YIELD - self._written, len(recipients.websockets))
            recipients.write(data, first, end)
            self._written += end - first
            first = end
            if self._written >= CLIENTS_PER_YIELD:
                self._written = 0
                runtime.sleep(0)
                if self._cached.get(room) is not recipients:
                    recipients, first = self._still_members(room, recipients.websockets[first:]), 0

    def _still_members(self, room: str, websockets: list[WebSocket]) -> RoomRecipients:
        """Leave out members that left during the yield. Members that joined have read a later seq already."""
        members = set(self._recipients(room).websockets)
        return RoomRecipients(websocket for websocket in websockets if websocket in members)

    def _recipients(self, room: str) -> RoomRecipients:
        recipients = self._cached.get(room)
        if recipients is None:
            recipients = self._cached[room] = self._find_recipients(room)
        return recipients

    def _find_recipients(self, room: str) -> RoomRecipients:
        recipients, manager = RoomRecipients(), self._manager
        sockets = manager.server.eio.sockets
        for sid, engine_sid in manager.get_participants("/", room):
            socket = sockets.get(engine_sid)
            if socket is None or socket.closed:
                continue
            if manager.is_pre_connected(sid, "/"):
                recipients.connecting.append(sid)
            elif (websocket := getattr(socket, "websocket", None)) is not None:
                recipients.add(websocket)
            else:
                recipients.polling.append(socket)
        return recipients


def _send_packets(socket: Any, packets: list[bytes]) -> None:
    for text in packets:
        socket.send(engine_packet.Packet(engine_packet.MESSAGE, text[1:].decode()))
