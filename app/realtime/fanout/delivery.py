"""From one read of Redis to the sockets of each room: framed once, written straight to every websocket."""

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
    """python-socketio's queue message of one event; what the event carries stays as it was written."""

    method: str
    event: str
    data: list[msgspec.Raw]
    namespace: str = "/"
    binary: bool = False
    skip_sid: Any = None
    callback: Any = None

    @property
    def is_plain(self) -> bool:
        """Every recipient gets the same bytes, and nobody answers."""
        return not (self.binary or self.skip_sid or self.callback) and self.namespace == "/"

    def packet(self) -> bytes:
        """The Engine.IO packet: a message that holds the Socket.IO event."""
        parts = b",".join((msgspec.json.encode(self.event), *(bytes(raw) for raw in self.data)))
        return b"42[" + parts + b"]"


class _Numbered(msgspec.Struct):
    seq: str | int | None = None


_decode_message = msgspec.json.Decoder(QueueMessage).decode
_decode_seq = msgspec.json.Decoder(_Numbered).decode


def decode(body: bytes) -> QueueMessage:
    """Raises msgspec.MsgspecError."""
    return _decode_message(body)


def seq_of(message: QueueMessage) -> int | None:
    """The room's number of this event."""
    seq = _decode_seq(message.data[0]).seq if message.data else None
    return None if seq is None else int(seq)


class RoomRecipients:
    """Who is in a room here, by the way to reach them; made anew whenever somebody comes or goes."""

    __slots__ = ("early", "others", "sends", "websockets")

    def __init__(self, websockets: Iterable[WebSocket] = ()) -> None:
        self.websockets = list(websockets)
        self.sends: list[Callable[[bytes], int]] = [websocket.send for websocket in self.websockets]
        self.others: list[Any] = []
        self.early: list[str] = []

    def add(self, websocket: WebSocket) -> None:
        self.websockets.append(websocket)
        self.sends.append(websocket.send)

    def write(self, data: bytes, first: int, end: int) -> None:
        """Give it to the websockets from `first` to before `end`; straight to their sockets while no websocket is behind.

        A websocket is one object more to fetch into the processor for each client: a tenth of what a delivery costs.
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
                    self.websockets[first + number].keep(data[sent:])


class Deliverer:
    """Rooms' audiences, cached until a member comes or goes, and the frames kept for those still connecting."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._cached: dict[str, RoomRecipients] = {}
        self._early: dict[str, list[bytes]] = {}
        self._written = 0

    def drop(self, rooms: Iterable[Any]) -> None:
        for room in rooms:
            self._cached.pop(room, None)

    def drop_all(self) -> None:
        self._cached.clear()

    def send(self, room: str, packets: list[bytes]) -> None:
        """Give one room its events, in order, yielding now and then so that nobody else waits long."""
        recipients = self._recipients(room)
        metrics.FANOUT_DELIVERIES.inc(len(packets) * (len(recipients.websockets) + len(recipients.others)))
        for sid in recipients.early:
            self._early.setdefault(sid, []).extend(packets)
        for socket in recipients.others:
            _send_packets(socket, packets)
        self._write(room, recipients, b"".join(map(frame, packets)))

    def arrived(self, sid: str, socket: Any) -> None:
        """The connection's CONNECT is out: what its room got meanwhile follows."""
        packets = self._early.pop(sid, None)
        if packets:
            _send_packets(socket, packets)

    def forget(self, sid: str) -> None:
        self._early.pop(sid, None)

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
                    recipients, first = self._still_in(room, recipients.websockets[first:]), 0

    def _still_in(self, room: str, websockets: list[WebSocket]) -> RoomRecipients:
        """Leave out who left while others had their turn; who came since was told a later seq."""
        members = set(self._recipients(room).websockets)
        return RoomRecipients(websocket for websocket in websockets if websocket in members)

    def _recipients(self, room: str) -> RoomRecipients:
        recipients = self._cached.get(room)
        if recipients is None:
            recipients = self._cached[room] = self._gather(room)
        return recipients

    def _gather(self, room: str) -> RoomRecipients:
        recipients, manager = RoomRecipients(), self._manager
        sockets = manager.server.eio.sockets
        for sid, engine_sid in manager.get_participants("/", room):
            socket = sockets.get(engine_sid)
            if socket is None or socket.closed:
                continue
            if manager.is_pre_connected(sid, "/"):
                recipients.early.append(sid)
            elif (websocket := getattr(socket, "websocket", None)) is not None:
                recipients.add(websocket)
            else:
                recipients.others.append(socket)
        return recipients


def _send_packets(socket: Any, packets: list[bytes]) -> None:
    for text in packets:
        socket.send(engine_packet.Packet(engine_packet.MESSAGE, text[1:].decode()))
