"""An Engine.IO connection, over polling or WebSocket (Engine.IO protocol 4).

python-engineio's own keeps an unbounded queue and three greenlets per WebSocket, allows concurrent polls and only 16
packets per body. Here a greenlet exists only while a packet is handled, and there is one GET and one POST at a time.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from engineio import exceptions, packet
from engineio.socket import Socket

from app.core import runtime
from app.core.concurrency import RateCounter
from app.observability import metrics
from app.realtime.fanout import frames
from app.realtime.fanout.frames import CLOSE_CODES, CloseCode, CloseReason
from app.realtime.fanout.handshake import UpgradeProbe, switch_protocols
from app.realtime.fanout.websocket import WebSocket

logger = logging.getLogger(__name__)

MAX_QUEUED_PACKETS = 2000
MAX_INBOX_PACKETS = 100
PACKETS_PER_YIELD = 10
LARGE_PACKET_BYTES = 4096
SEPARATOR = "\x1e"
PONG = "3"
_NO_QUEUE = SimpleNamespace(put=lambda _packet: None)


class EngineSocket(Socket):  # type: ignore[misc]
    """An Engine.IO connection; `websocket` is set once the client uses one. `begin` turns python-engineio's into it.

    Packets and the fan-out's frames are written through `websocket`, so they have one order: first what was queued
    before the upgrade, then everything sent after it.
    """

    connected: bool
    last_ping: float | None
    queue: Any
    websocket: WebSocket | None = None
    due = math.inf  # the monotonic time of the next `ping`
    is_probing = _is_handling = _closed_by_client = False
    _requests: frozenset[str] = frozenset()  # the methods of those in progress

    def begin(self) -> None:
        self._inbox: deque[tuple[int, Any]] = deque()
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
        """As in python-engineio, but without waiting: a polling client may never poll again."""
        del wait
        if self.closed or self.closing:
            return
        reason = reason or self.server.reason.SERVER_DISCONNECT
        self._closed_by_client = reason == self.server.reason.CLIENT_DISCONNECT
        super().close(wait=False, abort=abort, reason=reason)
        if self.websocket is not None:
            self.websocket.close(CLOSE_CODES.get(reason, CloseCode.NORMAL))
            self.server.sockets.pop(self.sid, None)

    def schedule_ping(self) -> None:
        if self.last_ping:
            self.last_ping = None
            self.due = time.monotonic() + self.server.ping_interval

    def ping(self) -> None:
        """Ping the client, or end the connection when it has not answered the last ping in time."""
        self.due = time.monotonic() + self.server.ping_timeout
        if self.closed:
            self.server.sockets.pop(self.sid, None)
        elif not self.last_ping:
            self.last_ping = time.time()
            self.send(packet.Packet(packet.PING))
        elif self.websocket is not None:
            self.websocket.abort(self.server.reason.PING_TIMEOUT)
        else:
            self.connection_ended(self.server.reason.PING_TIMEOUT)

    def poll(self) -> list[packet.Packet]:
        """As in python-engineio, but the last poll has a packet: NOOP if the client closed the session, else CLOSE."""
        return super().poll() or [packet.Packet(packet.NOOP if self._closed_by_client else packet.CLOSE)]

    def handle_get_request(self, environ: dict[str, Any], start_response: Any) -> Any:
        if "HTTP_UPGRADE" in environ or self.upgrading:
            return super().handle_get_request(environ, start_response)
        with self._only_one("GET"):
            return super().handle_get_request(environ, start_response)

    def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Handle the packets of a body. Raises EngineIOError, which ends the session and is answered with 400."""
        with self._only_one("POST"):
            try:
                for encoded in _read_packets(environ, self.server):
                    if not self.closed:
                        self._count_packet(len(encoded))
                        self.receive(packet.Packet(encoded_packet=encoded))
            except (ValueError, LookupError, OSError) as error:
                raise exceptions.EngineIOError from error

    @contextmanager
    def _only_one(self, method: str) -> Iterator[None]:
        """End the session that sends a request while another of this method is in progress. Raises EngineIOError."""
        if method in self._requests:
            self.close(reason=self.server.reason.TRANSPORT_ERROR)
            raise exceptions.EngineIOError
        self._requests |= {method}
        try:
            yield
        finally:
            self._requests -= {method}

    def _upgrade_websocket(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Take the connection over; the WSGI server's greenlet ends and leaves it open."""
        del start_response
        if self.connected:
            self.is_probing = True
            UpgradeProbe(self, environ)
        else:
            self.connected = self.upgraded = True
            self.websocket = switch_protocols(environ, self, self._take_queued())
            self.queue = _NO_QUEUE  # a queue has kilobytes that a WebSocket does not need
            self.websocket.resume()
        return ()

    def adopt(self, websocket: WebSocket) -> None:
        """Switch from polling to this WebSocket, and send the queued packets over it first."""
        self.upgraded = True
        queued = self._take_queued()
        self.queue.put(packet.Packet(packet.NOOP))  # ends a poll that is still open
        self.websocket, websocket.owner = websocket, self
        websocket.write(queued)
        self.server.on_websocket()
        websocket.resume()

    def _take_queued(self) -> bytes:
        """Empty the queue; returns the frames of its packets."""
        queued = []
        while not self.queue.empty():
            queued.append(self.queue.get(block=False))
            self.queue.task_done()
        sent = [pkt for pkt in queued if pkt is not None and pkt.packet_type != packet.NOOP]
        return b"".join(frames.packet_frame(pkt.encode()) for pkt in sent)

    def probe_ended(self, reason: str = "") -> None:
        self.is_probing = self.upgrading = False
        log_abuse(self.sid, reason)

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
                elif not self.closed:
                    self._handle_packet(payload)
        finally:
            self._is_handling = False
        if self.websocket is not None:
            self.websocket.resume()

    def _count_packet(self, size: int) -> None:
        """Count a received packet and yield now and then. Raises EngineIOError once it has closed a flooding client."""
        packets = self._packets.add(time.monotonic())
        if packets > self.server.packets_per_second:
            self._end(CloseReason.FLOOD)
            raise exceptions.EngineIOError
        if packets % PACKETS_PER_YIELD == 0 or size > LARGE_PACKET_BYTES:
            runtime.sleep(0)

    def _end(self, reason: str) -> None:
        if not (self.closed or self.closing):
            log_abuse(self.sid, reason)
            self.close(abort=True, reason=reason)

    def _handle_packet(self, payload: str | bytes) -> None:
        try:
            self._count_packet(len(payload))
            self.receive(packet.Packet(encoded_packet=payload))
        except exceptions.SocketIsClosedError:
            logger.debug("socket.closed_while_received", extra={"engineSid": self.sid})
        except exceptions.EngineIOError:
            pass  # flooding, or, as in python-engineio, a packet that only newer clients know
        except Exception as error:  # noqa: BLE001 - it is logged, and ends this connection only
            is_malformed = isinstance(error, ValueError)
            level = logging.INFO if is_malformed else logging.ERROR
            logger.log(level, "socket.packet_failed", extra={"engineSid": self.sid, "error": repr(error)})
            self.close(abort=True, reason=CloseReason.PARSE_ERROR if is_malformed else CloseReason.SERVER_ERROR)


def log_abuse(sid: str, reason: str) -> None:
    if reason == CloseReason.SLOW_CLIENT:
        metrics.SLOW_SOCKETS.inc()
        logger.warning("socket.stalled", extra={"engineSid": sid})
    elif reason == CloseReason.FLOOD:
        metrics.FLOODING_SOCKETS.inc()
        logger.warning("socket.flooded", extra={"engineSid": sid})


def _read_packets(environ: dict[str, Any], server: Any) -> list[str]:
    """The packets of a POST's body, chunked or not. Raises ValueError, OSError, ContentTooLongError."""
    max_bytes, is_chunked = server.max_http_buffer_size, "HTTP_TRANSFER_ENCODING" in environ
    length = max_bytes + 1 if is_chunked else int(environ.get("CONTENT_LENGTH") or 0)
    if length > max_bytes and not is_chunked:
        raise exceptions.ContentTooLongError
    body = environ["wsgi.input"].read(length)
    if len(body) > max_bytes:
        raise exceptions.ContentTooLongError
    if len(body) < length and not is_chunked:
        raise ValueError("the body is shorter than its Content-Length")
    packets = str(body, "utf-8").split(SEPARATOR) if body else []
    if len(packets) > server.packets_per_second:
        raise ValueError("too many packets")
    return packets
