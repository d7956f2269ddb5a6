"""An Engine.IO connection that becomes a wire when it is a WebSocket."""

import logging
import time
from collections import deque
from typing import Any

from engineio import exceptions, packet
from engineio.socket import Socket

from app import runtime
from app.realtime.fanout import frames
from app.realtime.fanout.handshake import Handshake, detach, emptied, hold_back, probe
from app.realtime.fanout.metrics import FLOODS, TOO_SLOW_SOCKETS
from app.realtime.fanout.wire import TOO_SLOW, Wire
from app.realtime.persecond import PerSecond

logger = logging.getLogger(__name__)

INBOX_PACKETS = 100
PACKETS_PER_YIELD = 50
PONG = "3"


class EngineSocket(Socket):  # type: ignore[misc]
    """An Engine.IO connection; python-engineio's own while it polls, a wire once it is a WebSocket.

    All that is written to a wire goes through the wire, so there is one order: what was queued before the upgrade,
    then whatever is sent, packets and the fan-out's frames alike.
    """

    server: Any
    queue: Any
    connected: bool
    closing: bool
    closed: bool
    last_ping: float | None

    def __init__(self, server: Any, sid: str) -> None:
        super().__init__(server, sid)
        self.wire: Wire | None = None
        self.connects = 0
        self._inbox: deque[tuple[int, Any]] = deque()
        self._handling = False
        self._packets = PerSecond()

    def send(self, pkt: packet.Packet) -> None:
        if self.closed:
            raise exceptions.SocketIsClosedError
        if self.wire is None:
            self.queue.put(pkt)
        else:
            self.wire.write(frames.packet_frame(pkt.encode()))

    def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        del wait
        if self.wire is None:
            super().close(wait=False, abort=abort, reason=reason)  # waiting is for a client that may never poll again
            return
        if self.closed or self.closing:
            return
        self.closing = True
        why = reason or self.server.reason.SERVER_DISCONNECT
        self.server._trigger_event("disconnect", self.sid, why, run_async=False)  # noqa: SLF001 - contract test
        if not abort:
            self.send(packet.Packet(packet.CLOSE))
        self.closed = True
        self.wire.finish()
        self.server.sockets.pop(self.sid, None)

    def handle_post_request(self, environ: dict[str, Any]) -> None:
        """As in python-engineio; a payload that cannot be read is a 400 and the end of its connection."""
        try:
            super().handle_post_request(environ)
        except (ValueError, LookupError) as error:
            raise exceptions.EngineIOError from error

    def schedule_ping(self) -> None:
        if self.last_ping:
            self.last_ping = None
            self.server.pinger.ping_later(self)

    def ping(self) -> float:
        """Ask for a sign of life; returns the time that `is_silent` is to be asked with."""
        self.last_ping = time.time()
        self.send(packet.Packet(packet.PING))
        return self.last_ping

    def is_silent(self, since: float) -> bool:
        return bool(self.last_ping == since)

    def end_silent(self) -> None:
        """The client did not answer a ping in time."""
        reason = self.server.reason.PING_TIMEOUT
        if self.wire is None:
            self.close(wait=False, abort=False, reason=reason)
        else:
            self.wire.end(reason)

    # From polling, or from the handshake, to a wire.

    def _upgrade_websocket(self, environ: dict[str, Any], start_response: Any) -> Any:
        if self.upgraded:
            raise OSError("Socket has been upgraded already")
        if not self.connected:  # else the client waits for the answer before it says more
            hold_back(environ["eventlet.input"].get_socket(), hold=True)
        return Handshake(self._websocket_handler, self.server)(environ, start_response)

    def _websocket_handler(self, ws: Any) -> list[bytes]:
        """Take the connection over; the WSGI server's greenlet ends here and leaves it open."""
        has_polled = self.connected
        if has_polled and not self._probe(ws):
            return []
        self.connected = self.upgraded = True
        sock = detach(ws.socket)
        wire = Wire(sock, self, self.server.max_http_buffer_size)
        ws.websocket_closed = True  # so that eventlet sends no closing frame
        waiting = emptied(self.queue)
        if has_polled:
            self.queue.put(packet.Packet(packet.NOOP))  # for a poll that has not noticed yet
        else:
            self.queue = None  # kilobytes that a wire has no use for
        self.wire = wire
        for pkt in waiting:
            wire.write(frames.packet_frame(pkt.encode()))
        hold_back(sock, hold=False)
        self.server.on_wire(self)
        wire.read()
        return []

    def _probe(self, ws: Any) -> bool:
        """The client's test of the WebSocket before it gives up polling (Engine.IO protocol, Upgrade)."""
        self.upgrading = True
        try:
            return probe(ws, lambda: self.queue.put(packet.Packet(packet.NOOP))) and not self.closed
        finally:
            self.upgrading = False

    # What the wire tells.

    def wire_received(self, opcode: int, payload: Any) -> None:
        if payload == PONG and opcode == frames.TEXT:
            self.schedule_ping()
            return
        self._into_inbox(opcode, payload)
        if len(self._inbox) >= INBOX_PACKETS and self.wire is not None:
            self.wire.pause()

    def wire_ended(self, reason: str) -> None:
        self._into_inbox(frames.CLOSE, reason)

    def _into_inbox(self, opcode: int, payload: Any) -> None:
        self._inbox.append((opcode, payload))
        if not self._handling:
            self._handling = True
            runtime.spawn(self._handle_inbox)

    def _handle_inbox(self) -> None:
        """One packet after the other, as they came; the end of the connection is the last of them."""
        try:
            while self._inbox:
                opcode, payload = self._inbox.popleft()
                if opcode == frames.CLOSE:
                    self._end(payload)
                elif not self.closed and self._may_send_on():
                    self._handle_packet(payload)
        finally:
            self._handling = False
        if self.wire is not None:
            self.wire.read()

    def _may_send_on(self) -> bool:
        """Count a packet, whatever is in it; who sends far too many is ended, and others have their turn between."""
        packets = self._packets.add(time.monotonic())
        if packets > self.server.packets_per_second:
            FLOODS.inc()
            logger.warning("socket.flooding", extra={"engineSid": self.sid, "packets": packets})
            self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_ERROR)
            return False
        if packets % PACKETS_PER_YIELD == 0:
            runtime.sleep(0)
        return True

    def _end(self, reason: str) -> None:
        if reason == TOO_SLOW:
            TOO_SLOW_SOCKETS.inc()
            logger.warning("socket.too_slow", extra={"engineSid": self.sid})
        self.close(wait=False, abort=True, reason=reason)

    def _handle_packet(self, payload: str | bytes) -> None:
        try:
            self.receive(packet.Packet(encoded_packet=payload))
        except exceptions.UnknownPacketError:
            pass  # as python-engineio: a newer client may know more packets
        except exceptions.SocketIsClosedError:
            logger.debug("socket.closed_while_received", extra={"engineSid": self.sid})
        except Exception as error:  # noqa: BLE001 - one client's packet: told in the log, and its end
            level = logging.INFO if isinstance(error, ValueError) else logging.ERROR
            logger.log(level, "socket.packet_failed", extra={"engineSid": self.sid, "error": repr(error)})
            self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_ERROR)
