"""The fan-out: from a room's Redis channel to the connections of that room in this process.

A web process subscribes to a room's channel while it has members there. Only the room limiter publishes there.
It replaces python-socketio's RedisManager, which sends every event of every room to every process.
"""

import json
import logging
from typing import Any

import redis
from socketio import PubSubManager, RedisManager

from app.core.errors import Conflict
from app.core.redis_connection import connect_redis
from app.core.redis_topology import topology_of
from app.observability import metrics
from app.realtime.events import read_message
from app.realtime.fanout import engine
from app.realtime.fanout.delivery import Deliverer, YieldingWriter
from app.realtime.fanout.event_stream import EventStream, event_frame
from app.realtime.fanout.pubsub_connection import Batch
from app.realtime.fanout.resync import Resync
from app.realtime.fanout.stream_rooms import NumberedEvent, StreamRooms
from app.realtime.fanout.subscriber import Subscriber
from app.realtime.redis_keys import CONTROL_CHANNEL, batched_view, channel_of, room_of, view_of
from app.realtime.scripts import RoomScripts

logger = logging.getLogger(__name__)

ROOM_PREFIX = room_of("")
CONTROL_METHODS = frozenset({"emit", "callback", "disconnect"})


class _EmitMixin:
    def emit(self, event: str, data: Any, namespace: Any = None, room: Any = None, **kwargs: Any) -> None:
        """Raises ValueError for a protocol's room: its events are numbered and limited by the room limiter."""
        if _channel_of_room(kwargs.get("to") or room):
            raise ValueError(f"Only the room limiter emits to {kwargs.get('to') or room!r}.")
        super().emit(event, data, namespace, room, **kwargs)  # type: ignore[misc]


class RoomManager(_EmitMixin, PubSubManager):  # type: ignore[misc]
    """python-socketio's client manager with a channel per protocol room. One per web server.

    The rooms' channels are on the servers of the rooms, the control channel on that of `redis_url`.
    """

    def __init__(self, redis_url: str, rooms: RoomScripts) -> None:
        super().__init__(channel=CONTROL_CHANNEL)
        writer = YieldingWriter()
        self._deliverer = Deliverer(self, writer)
        self._rooms_of: dict[str, set[Any]] = {}
        self._redis = connect_redis(redis_url)
        self._resync = Resync(self, rooms)
        check, control = self._resync.check_missed, topology_of(redis_url)
        self._subscriber = Subscriber(rooms.nodes.topology, on_batch=self._deliver, on_restored=check)
        self._control = Subscriber(control, on_batch=self._deliver, on_restored=check, sharded=False)
        self._control.subscribe(CONTROL_CHANNEL, self.host_id)
        self.streams = StreamRooms(self._subscriber, writer)
        self._thread = self._subscriber.run
        self.check_memory = self._resync.check_memory

    def note_seq(self, protocol_id: str, seq: str) -> None:
        """Record the seq that a joining client has read; the first event delivered to the room replaces it."""
        self._resync.note_joined(channel_of(protocol_id), int(seq))

    def join_stream(self, view: str, stream: EventStream) -> None:
        """Hold the room's events for a stream from now on. Raises DependencyUnavailable."""
        if not self.server.manager_initialized:  # python-socketio does this when its first client connects
            self.server.manager_initialized = True
            self.initialize()
        self.streams.join(view, stream)

    def leave_stream(self, view: str, stream: EventStream) -> None:
        if self.streams.leave(view, stream):
            self._resync.forget(channel_of(view))

    def set_server(self, server: Any) -> None:
        super().set_server(server)
        engine.install(server.eio, on_websocket=self._deliverer.invalidate_all)

    def initialize(self) -> None:
        super().initialize()
        self.server.start_background_task(self._control.run)
        self.server.start_background_task(self.server.eio.ping_connections)

    def connect(self, sid: str, namespace: str) -> str:
        sid = super().connect(sid, namespace)
        self._deliverer.invalidate(self._rooms_of.get(sid, ()))
        self._deliverer.deliver_held(sid, self.server.eio.sockets.get(self.eio_sid_from_sid(sid, "/")))
        return sid

    def enter_room(self, sid: str, namespace: str, room: str, eio_sid: str | None = None) -> None:
        """Add a connection to a room; for a protocol's room, only after Redis has confirmed its channel.

        Raises DependencyUnavailable, and Conflict when the connection left or ended in the meantime.
        """
        if channel := _channel_of_room(room):
            self._subscriber.subscribe_and_wait(channel, sid)
            if not (self.is_connected(sid, namespace) or self.is_pre_connected(sid, namespace)):
                self._subscriber.unsubscribe(channel, sid)
                raise Conflict("The connection ended while it was joining the room.", code="LEFT_MEANWHILE")
        super().enter_room(sid, namespace, room, eio_sid=eio_sid)

    def basic_enter_room(self, sid: str, namespace: str, room: Any, eio_sid: str | None = None) -> None:
        super().basic_enter_room(sid, namespace, room, eio_sid=eio_sid)
        self._rooms_of.setdefault(sid, set()).add(room)
        self._deliverer.invalidate((room,))

    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None:
        super().basic_leave_room(sid, namespace, room)
        self._rooms_of.get(sid, set()).discard(room)
        self._deliverer.invalidate((room,))
        channel = _channel_of_room(room)
        if channel and self._subscriber.unsubscribe(channel, sid):  # also when it is still entering
            self._resync.forget(channel)

    def basic_disconnect(self, sid: str, namespace: str, **_: Any) -> None:
        """As in python-socketio, but without a search through all rooms."""
        for room in sorted(self._rooms_of.pop(sid, ()), key=lambda room: room is None):
            self.basic_leave_room(sid, namespace, room)
        self._deliverer.discard_held(sid)
        self.callbacks.pop(sid, None)
        for pending in (self.pending_connect, self.pending_disconnect):
            if sid in pending.get(namespace, ()):
                pending[namespace].remove(sid)

    def _publish(self, data: dict[str, Any]) -> None:
        try:
            self._redis.publish(CONTROL_CHANNEL, json.dumps(data))
        except redis.RedisError as error:
            metrics.CONTROL_FAILURES.inc()
            logger.error("control_message.failed", extra={"method": data["method"], "error": str(error)})  # noqa: TRY400

    def _deliver(self, batch: Batch) -> None:
        """Deliver one batch, each room's events together and in order."""
        rooms: dict[str, list[bytes]] = {}
        streams: dict[str, list[NumberedEvent]] = {}
        for channel, body in batch:
            try:
                if channel == CONTROL_CHANNEL:
                    self._handle_control(json.loads(body))
                    continue
                metrics.FANOUT_EVENTS.inc()
                view = view_of(channel)
                message = read_message(view, body)
                rooms.setdefault(room_of(view), []).append(message.packet())
                if self.streams.has(view):
                    frame = event_frame(message.event_type, message.envelope, message.seq)
                    streams.setdefault(view, []).append((message.seq, frame))
                self._resync.note_delivered(channel, message.seq)
            except Exception:
                metrics.FANOUT_FAILURES.inc()
                logger.exception("fanout.failed", extra={"channel": channel, "body": body.decode(errors="replace")})
        for room, packets in rooms.items():
            self._deliverer.deliver(room, packets)
        for view, events in streams.items():
            self.streams.deliver(view, events)

    def _handle_control(self, message: dict[str, Any]) -> None:
        """Handle another process's request, in a greenlet of its own: handlers may wait for Redis."""
        method = message["method"]
        if method == "resync":
            views = (message["protocolId"], batched_view(message["protocolId"]))
            self.server.start_background_task(self._resync.disconnect, list(map(channel_of, views)))
        elif method in CONTROL_METHODS and (method == "callback" or message.get("host_id") != self.host_id):
            self.server.start_background_task(getattr(self, f"_handle_{method}"), message)


class StockManager(_EmitMixin, RedisManager):  # type: ignore[misc]
    """python-socketio's own client manager on the fan-out's channels, with stock Engine.IO connections.

    The way back from the own fan-out (docs/decisions/0008): `sockets.handlers.init_app(..., stock_fanout=True)`. It
    needs 54 µs of CPU per delivered message instead of 10, has unbounded queues, and resyncs no client after a loss of
    Redis.
    """

    def __init__(self, redis_url: str, rooms: RoomScripts) -> None:
        super().__init__(redis_url, channel=CONTROL_CHANNEL)
        self._subscriber = Subscriber(rooms.nodes.topology, on_batch=self._deliver, on_restored=lambda *_: None)

    def note_seq(self, protocol_id: str, seq: str) -> None: ...

    def check_memory(self) -> None: ...

    def initialize(self) -> None:
        super().initialize()
        self.server.start_background_task(self._subscriber.run)

    def enter_room(self, sid: str, namespace: str, room: str, eio_sid: str | None = None) -> None:
        if channel := _channel_of_room(room):
            self._subscriber.subscribe_and_wait(channel, sid)
        super().enter_room(sid, namespace, room, eio_sid=eio_sid)

    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None:
        super().basic_leave_room(sid, namespace, room)
        if channel := _channel_of_room(room):
            self._subscriber.unsubscribe(channel, sid)

    def _deliver(self, batch: Batch) -> None:
        for channel, body in batch:
            view = view_of(channel)
            message = read_message(view, body)
            data = [json.loads(message.envelope)]
            self._handle_emit({"event": message.event_type, "data": data, "namespace": "/", "room": room_of(view)})

    def _redis_connect(self) -> None:
        self.redis = connect_redis(self.redis_url, blocking=True)
        self.pubsub = self.redis.pubsub(ignore_subscribe_messages=True)
        self.pubsub.subscribe(CONTROL_CHANNEL)
        self.connected = True


def _channel_of_room(room: Any) -> str | None:
    """The channel of a protocol's room; None for any other room."""
    if isinstance(room, str) and room.startswith(ROOM_PREFIX):
        return channel_of(room.removeprefix(ROOM_PREFIX))
    return None
