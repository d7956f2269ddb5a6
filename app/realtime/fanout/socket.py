"""An Engine.IO connection that becomes a websocket when it is a WebSocket (Engine.IO protocol, version 4)."""

import logging
import time
from collections import deque
from typing import Any

from engineio import exceptions, packet

from app.core import runtime
from app.core.rate_counter import RateCounter
from app.observability import metrics
from app.realtime.fanout import frames
from app.realtime.fanout.handshake import Probe, emptied, hold_back, switch_protocols
from app.realtime.fanout.polling import QUEUE_PACKETS, PollingSocket
from app.realtime.fanout.websocket import FLOOD, TOO_SLOW, WebSocket

logger = logging.getLogger(__name__)

INBOX_PACKETS = 100
PACKETS_PER_YIELD = 10
LARGE_PACKET_BYTES = 4096
PONG = "3"
LEAVING, PARSE_ERROR, TOLD_TO_GO, NO_HANDSHAKE, CRASH = (
    "server leaves", "parse error", "told to go", "handshake timeout", "server error",
)  # fmt: skip
CLOSE_CODES = {
    LEAVING: frames.GOING_AWAY,
    CRASH: frames.SERVER_ERROR,
    **dict.fromkeys((FLOOD, PARSE_ERROR, TOLD_TO_GO, NO_HANDSHAKE), frames.POLICY_VIOLATION),
}


class EngineSocket(PollingSocket):
    """An Engine.IO connection; a websocket once it is a WebSocket.

    All that is written to a websocket goes through the websocket, so there is one order: what was queued before the upgrade,
    then whatever is sent, packets and the fan-out's frames alike.
    """

    connected: bool
    upgraded: bool
    closing: bool
    last_ping: float | None

    def __init__(self, server: Any, sid: str) -> None:
        super().__init__(server, sid)
        self.websocket: WebSocket | None = None
        self.connects = 0
        self._inbox: deque[tuple[int, Any]] = deque()
        self._handling = self._probing = False
        self._packets = RateCounter()

    def send(self, pkt: packet.Packet) -> None:
        if self.closed:
            raise exceptions.SocketIsClosedError
        if self.websocket is not None:
            self.websocket.write(frames.packet_frame(pkt.encode()))
        elif self.queue.qsize() < QUEUE_PACKETS:
            self.queue.put(pkt)
        elif not self._handling:
            self.connection_ended(TOO_SLOW)

    def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        del wait
        why = reason or self.server.reason.SERVER_DISCONNECT
        if self.websocket is None:
            super().close(wait=False, abort=abort, reason=why)
            return
        if self.closed or self.closing:
            return
        self.closing = True
        self.server._trigger_event("disconnect", self.sid, why, run_async=False)  # noqa: SLF001 - contract test
        if not abort:
            self.send(packet.Packet(packet.CLOSE))
        self.closed = True
        self.websocket.finish(CLOSE_CODES.get(why, frames.NORMAL))
        self.server.sockets.pop(self.sid, None)

    def schedule_ping(self) -> None:
        if self.last_ping:
            self.last_ping = None
            self.server.pinger.ping_later(self)

    @property
    def has_websocket(self) -> bool:
        """Whether it is one, or its client is testing one."""
        return self._probing or self.upgraded

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
        if self.websocket is None:
            self.close(wait=False, abort=False, reason=reason)
        else:
            self.websocket.end(reason)

    # From polling, or from the handshake, to a websocket.

    def _upgrade_websocket(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Take the connection over; the WSGI server's greenlet ends here and leaves it open."""
        del start_response
        if self.connected:
            self._probing = True
            Probe(self).begin(environ)
        else:
            self.adopt(switch_protocols(environ, self))
        return ()

    def adopt(self, websocket: WebSocket) -> None:
        """Write to this websocket from now on: first what has waited, then whatever is sent."""
        has_polled = self.connected
        self.connected = self.upgraded = True
        waiting = emptied(self.queue)
        if has_polled:
            self.queue.put(packet.Packet(packet.NOOP))  # for a poll that has not noticed yet
        else:
            self.queue = None  # kilobytes that a websocket has no use for
        self.websocket, websocket.owner = websocket, self
        for pkt in waiting:
            websocket.write(frames.packet_frame(pkt.encode()))
        hold_back(websocket.socket, hold=False)
        self.server.on_websocket(self)
        websocket.read()

    def probe_ended(self, reason: str = "") -> None:
        self._probing = self.upgrading = False
        if reason == FLOOD:
            self._log_flood()

    # What the websocket tells.

    def message_received(self, opcode: int, payload: Any) -> None:
        if payload == PONG and opcode == frames.TEXT:
            self.schedule_ping()
            return
        self._into_inbox(opcode, payload)
        if len(self._inbox) >= INBOX_PACKETS and self.websocket is not None:
            self.websocket.pause()

    def connection_ended(self, reason: str) -> None:
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
                elif not self.closed and self.may_send_on(len(payload)):
                    self._handle_packet(payload)
        finally:
            self._handling = False
        if self.websocket is not None:
            self.websocket.read()

    def may_send_on(self, size: int) -> bool:
        """Count a packet, whatever is in it; who sends far too many is ended, and others have their turn between."""
        packets = self._packets.add(time.monotonic())
        if packets > self.server.packets_per_second:
            self._end(FLOOD)
            return False
        if packets % PACKETS_PER_YIELD == 0 or size > LARGE_PACKET_BYTES:
            runtime.sleep(0)
        return True

    def _end(self, reason: str) -> None:
        if self.closed or self.closing:
            return
        if reason == TOO_SLOW:
            metrics.SLOW_SOCKETS.inc()
            logger.warning("socket.too_slow", extra={"engineSid": self.sid})
        elif reason == FLOOD:
            self._log_flood()
        self.close(wait=False, abort=True, reason=reason)

    def _log_flood(self) -> None:
        metrics.FLOODING_SOCKETS.inc()
        logger.warning("socket.flooding", extra={"engineSid": self.sid})

    def _handle_packet(self, payload: str | bytes) -> None:
        try:
            self.receive(packet.Packet(encoded_packet=payload))
        except exceptions.UnknownPacketError:
            pass  # as python-engineio: a newer client may know more packets
        except exceptions.SocketIsClosedError:
            logger.debug("socket.closed_while_received", extra={"engineSid": self.sid})
        except Exception as error:  # noqa: BLE001 - one client's packet: told in the log, and its end
            is_theirs = isinstance(error, ValueError)
            level = logging.INFO if is_theirs else logging.ERROR
            logger.log(level, "socket.packet_failed", extra={"engineSid": self.sid, "error": repr(error)})
            self.close(wait=False, abort=True, reason=PARSE_ERROR if is_theirs else CRASH)
