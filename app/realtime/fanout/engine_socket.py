"""An Engine.IO connection, over polling or WebSocket (Engine.IO protocol 4).

python-engineio's own keeps an unbounded queue and three greenlets per WebSocket; here a greenlet exists only while a
packet is handled.
"""

import logging
import time
from collections import deque
from typing import Any

from engineio import exceptions, packet

from app.core import runtime
from app.core.concurrency import RateCounter
from app.observability import metrics
from app.realtime.fanout import frames
from app.realtime.fanout.close_reasons import CloseReason, close_code
from app.realtime.fanout.handshake import UpgradeProbe, set_cork, switch_protocols
from app.realtime.fanout.polling import PollingSocket
from app.realtime.fanout.websocket import WebSocket

logger = logging.getLogger(__name__)

MAX_QUEUED_PACKETS = 2000
MAX_INBOX_PACKETS = 100
PACKETS_PER_YIELD = 10
LARGE_PACKET_BYTES = 4096
PONG = "3"


class EngineSocket(PollingSocket):
    """An Engine.IO connection; `websocket` is set once the client uses one.

    Packets and the fan-out's frames are written through `websocket`, so they have one order: first what was queued
    before the upgrade, then everything sent after it.
    """

    connected: bool
    upgraded: bool
    closing: bool
    last_ping: float | None

    def __init__(self, server: Any, sid: str) -> None:
        super().__init__(server, sid)
        self.websocket: WebSocket | None = None
        self._inbox: deque[tuple[int, Any]] = deque()
        self._is_handling = self._is_probing = False
        self._packets = RateCounter()

    def send(self, pkt: packet.Packet) -> None:
        if self.closed:
            raise exceptions.SocketIsClosedError
        if self.websocket is not None:
            self.websocket.write(frames.packet_frame(pkt.encode()))
        elif self.queue.qsize() < MAX_QUEUED_PACKETS:
            self.queue.put(pkt)
        elif not self._is_handling:
            self.connection_ended(CloseReason.SLOW_CLIENT)

    def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        del wait
        reason = reason or self.server.reason.SERVER_DISCONNECT
        if self.websocket is None:
            super().close(wait=False, abort=abort, reason=reason)
            return
        if self.closed or self.closing:
            return
        self.closing = True
        self.server._trigger_event("disconnect", self.sid, reason, run_async=False)  # noqa: SLF001 - contract test
        if not abort:
            self.send(packet.Packet(packet.CLOSE))
        self.closed = True
        self.websocket.close(close_code(reason))
        self.server.sockets.pop(self.sid, None)

    def schedule_ping(self) -> None:
        if self.last_ping:
            self.last_ping = None
            self.server.pinger.ping_later(self)

    @property
    def has_websocket(self) -> bool:
        """Whether the client uses a WebSocket or is probing one."""
        return self._is_probing or self.upgraded

    def ping(self) -> float:
        """Send a ping; returns its time, which `is_silent` expects."""
        self.last_ping = time.time()
        self.send(packet.Packet(packet.PING))
        return self.last_ping

    def is_silent(self, pinged_at: float) -> bool:
        return bool(self.last_ping == pinged_at)

    def close_silent(self) -> None:
        """Close a connection that did not answer a ping in time."""
        reason = self.server.reason.PING_TIMEOUT
        if self.websocket is None:
            self.close(wait=False, abort=False, reason=reason)
        else:
            self.websocket.abort(reason)

    def _upgrade_websocket(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Take the connection over; the WSGI server's greenlet ends and leaves it open."""
        del start_response
        if self.connected:
            self._is_probing = True
            UpgradeProbe(self).begin(environ)
        else:
            self.adopt(switch_protocols(environ, self))
        return ()

    def adopt(self, websocket: WebSocket) -> None:
        """Switch to this WebSocket, and send the queued packets over it first."""
        has_polled = self.connected
        self.connected = self.upgraded = True
        queued = _take_all(self.queue)
        if has_polled:
            self.queue.put(packet.Packet(packet.NOOP))  # ends a poll that is still open
        else:
            self.queue = None  # kilobytes that a WebSocket does not need
        self.websocket, websocket.owner = websocket, self
        for pkt in queued:
            websocket.write(frames.packet_frame(pkt.encode()))
        set_cork(websocket.socket, False)
        self.server.on_websocket(self)
        websocket.resume()

    def probe_ended(self, reason: str = "") -> None:
        self._is_probing = self.upgrading = False
        if reason == CloseReason.FLOOD:
            self._log_flood()

    def message_received(self, opcode: int, payload: Any) -> None:
        if payload == PONG and opcode == frames.TEXT:
            self.schedule_ping()
            return
        self._add_to_inbox(opcode, payload)
        if len(self._inbox) >= MAX_INBOX_PACKETS and self.websocket is not None:
            self.websocket.pause()

    def connection_ended(self, reason: str) -> None:
        self._add_to_inbox(frames.CLOSE, reason)

    def _add_to_inbox(self, opcode: int, payload: Any) -> None:
        self._inbox.append((opcode, payload))
        if not self._is_handling:
            self._is_handling = True
            runtime.spawn(self._handle_inbox)

    def _handle_inbox(self) -> None:
        """Handle packets in the order received; the end of the connection comes last."""
        try:
            while self._inbox:
                opcode, payload = self._inbox.popleft()
                if opcode == frames.CLOSE:
                    self._end(payload)
                elif not self.closed and self.count_packet(len(payload)):
                    self._handle_packet(payload)
        finally:
            self._is_handling = False
        if self.websocket is not None:
            self.websocket.resume()

    def count_packet(self, size: int) -> bool:
        """Count a received packet and yield now and then; False when the connection was closed as flooding."""
        packets = self._packets.add(time.monotonic())
        if packets > self.server.packets_per_second:
            self._end(CloseReason.FLOOD)
            return False
        if packets % PACKETS_PER_YIELD == 0 or size > LARGE_PACKET_BYTES:
            runtime.sleep(0)
        return True

    def _end(self, reason: str) -> None:
        if self.closed or self.closing:
            return
        if reason == CloseReason.SLOW_CLIENT:
            metrics.SLOW_SOCKETS.inc()
            logger.warning("socket.stalled", extra={"engineSid": self.sid})
        elif reason == CloseReason.FLOOD:
            self._log_flood()
        self.close(wait=False, abort=True, reason=reason)

    def _log_flood(self) -> None:
        metrics.FLOODING_SOCKETS.inc()
        logger.warning("socket.flooded", extra={"engineSid": self.sid})

    def _handle_packet(self, payload: str | bytes) -> None:
        try:
            self.receive(packet.Packet(encoded_packet=payload))
        except exceptions.UnknownPacketError:
            pass  # as in python-engineio: a newer client may know more packets
        except exceptions.SocketIsClosedError:
            logger.debug("socket.closed_while_received", extra={"engineSid": self.sid})
        except Exception as error:  # noqa: BLE001 - it is logged, and ends this connection only
            is_malformed = isinstance(error, ValueError)
            level = logging.INFO if is_malformed else logging.ERROR
            logger.log(level, "socket.packet_failed", extra={"engineSid": self.sid, "error": repr(error)})
            reason = CloseReason.PARSE_ERROR if is_malformed else CloseReason.SERVER_ERROR
            self.close(wait=False, abort=True, reason=reason)


def _take_all(queue: Any) -> list[packet.Packet]:
    """Empty a polling queue; NOOPs and the end mark are left out."""
    taken = []
    while not queue.empty():
        taken.append(queue.get(block=False))
        queue.task_done()
    return [pkt for pkt in taken if pkt is not None and pkt.packet_type != packet.NOOP]
