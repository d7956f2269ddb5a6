"""Delivers a room's events to its connections: each event is framed once and written straight to every socket."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from engineio import packet as engine_packet

from app.core import runtime
from app.observability import metrics
from app.realtime.fanout.direct_socket import DirectSocket
from app.realtime.fanout.frames import frame

CLIENTS_PER_YIELD = 250


class RoomRecipients:
    """A room's connections in this process. Never updated: a changed room gets a new one.

    `others` take packets: polling connections, and those that are still connecting.
    """

    __slots__ = ("others", "sends", "sockets")

    def __init__(self, sockets: Iterable[DirectSocket], others: Iterable[Callable[[list[bytes]], None]] = ()) -> None:
        self.sockets, self.others = list(sockets), list(others)
        self.sends: list[Callable[[bytes], int]] = [each.send for each in self.sockets]

    def write(self, data: bytes, first: int, end: int) -> None:
        """Write to `sockets[first:end]`, straight to the kernel while no client has a backlog.

        Loading one more object per client, the DirectSocket, would add a tenth to the cost of a delivery.
        """
        if DirectSocket.backlogged:
            for each in self.sockets[first:end]:
                each.write(data)
            return
        size = len(data)
        for number, send in enumerate(self.sends[first:end]):
            try:
                sent = send(data)
            except OSError:
                self.sockets[first + number].write(data)
            else:
                if sent != size:
                    self.sockets[first + number].buffer(data[sent:])


class YieldingWriter:
    """Writes to the sockets of rooms and yields after every 250 writes."""

    def __init__(self) -> None:
        self._written = 0

    def write(self, data: bytes, recipients: RoomRecipients, current: Callable[[], RoomRecipients]) -> None:
        """Write to all recipients but those that are not among the `current` ones any more after a yield."""
        first = 0
        while first < len(recipients.sockets):
            end = min(first + CLIENTS_PER_YIELD - self._written, len(recipients.sockets))
            recipients.write(data, first, end)
            self._written += end - first
            first = end
            if self._written >= CLIENTS_PER_YIELD:
                self._written = 0
                runtime.sleep(0)
                if (now := current()) is not recipients:  # members that joined have read a later seq already
                    members = set(now.sockets)
                    recipients = RoomRecipients(each for each in recipients.sockets[first:] if each in members)
                    first = 0


class Deliverer:
    """Caches each room's recipients until its members change, and holds events for members still connecting."""

    def __init__(self, manager: Any, writer: YieldingWriter | None = None) -> None:
        self._manager = manager
        self._writer = writer or YieldingWriter()
        self._cached: dict[str, RoomRecipients] = {}
        self._held: dict[str, list[bytes]] = {}

    def invalidate(self, rooms: Iterable[Any]) -> None:
        for room in rooms:
            self._cached.pop(room, None)

    def invalidate_all(self) -> None:
        self._cached.clear()

    def deliver(self, room: str, packets: list[bytes]) -> None:
        """Send events to a room in order, yielding now and then."""
        recipients = self._recipients(room)
        metrics.FANOUT_DELIVERIES.labels("websocket").inc(len(packets) * len(recipients.sockets))
        metrics.FANOUT_DELIVERIES.labels("other").inc(len(packets) * len(recipients.others))
        for send in recipients.others:
            send(packets)
        self._writer.write(b"".join(map(frame, packets)), recipients, partial(self._recipients, room))

    def deliver_held(self, sid: str, socket: Any) -> None:
        """Send the events held for a connection, once its CONNECT packet is sent."""
        _send_packets(socket, self._held.pop(sid, ()))

    def discard_held(self, sid: str) -> None:
        self._held.pop(sid, None)

    def _recipients(self, room: str) -> RoomRecipients:
        if (cached := self._cached.get(room)) is not None:
            return cached
        manager, websockets, others = self._manager, [], []
        for sid, engine_sid in manager.get_participants("/", room):
            socket = manager.server.eio.sockets.get(engine_sid)
            if socket is None or socket.closed:
                continue
            if manager.is_pre_connected(sid, "/"):
                others.append(self._held.setdefault(sid, []).extend)
            elif socket.websocket is not None:
                websockets.append(socket.websocket)
            else:
                others.append(partial(_send_packets, socket))
        found = self._cached[room] = RoomRecipients(websockets, others)
        return found


def _send_packets(socket: Any, packets: Iterable[bytes]) -> None:
    for text in packets:
        socket.send(engine_packet.Packet(engine_packet.MESSAGE, text[1:].decode()))
