"""The fan-out: from a room's Redis channel to the connections of that room in this process.

A web process subscribes to a room's channel while it has members there. Only the room limiter publishes there.
It replaces python-socketio's RedisManager, which sends every event of every room to every process (`stock.py`).
"""

import json
import logging
from typing import Any

import redis
from socketio import PubSubManager

from app.core import runtime
from app.core.errors import Conflict
from app.core.redis_connection import connect_redis
from app.observability import metrics
from app.realtime.fanout import engine
from app.realtime.fanout.delivery import Deliverer, decode, seq_of
from app.realtime.fanout.resync import Resync
from app.realtime.fanout.subscriber import Batch, RealtimeUnavailable, Subscriber
from app.realtime.redis_keys import CHANNEL_PREFIX, CONTROL_CHANNEL, batched_view, channel_of, room_of

__all__ = ["RealtimeUnavailable", "RoomManager"]

logger = logging.getLogger(__name__)

ROOM_PREFIX = room_of("")
CONTROL_METHODS = frozenset({"emit", "callback", "disconnect", "enter_room", "leave_room", "close_room"})


class RoomManager(PubSubManager):  # type: ignore[misc]
    """python-socketio's client manager with a channel per protocol room. One per web server."""

    name = "rooms"

    def __init__(self, redis_url: str) -> None:
        super().__init__(channel=CONTROL_CHANNEL)
        self._deliverer = Deliverer(self)
        self._rooms_of: dict[str, set[Any]] = {}
        self._redis = connect_redis(redis_url)
        self._resync = Resync(self, self._redis)
        self._subscriber = Subscriber(redis_url, on_batch=self._deliver, on_restored=self._resync.check_missed)
        self._subscriber.subscribe(CONTROL_CHANNEL, self.host_id)

    def stop(self) -> None:
        """Stop listening to Redis; client connections stay open."""
        self._subscriber.stop()

    def note_seq(self, protocol_id: str, seq: str) -> None:
        """Record the seq that a joining client has read; the first event delivered to the room replaces it."""
        self._resync.note_joined(channel_of(protocol_id), int(seq))

    def check_epoch(self) -> None:
        """Resync all clients when Redis has lost its data. Raises redis.RedisError."""
        self._resync.check_epoch()

    def set_server(self, server: Any) -> None:
        super().set_server(server)
        if server.eio.async_mode == runtime.ASYNC_MODE:
            engine.install(server.eio)
            server.eio.on_websocket = lambda _socket: self._deliverer.invalidate_all()

    def _thread(self) -> None:
        self._subscriber.run()

    def connect(self, sid: str, namespace: str) -> str:
        sid = super().connect(sid, namespace)
        self._deliverer.invalidate(self._rooms_of.get(sid, ()))
        self._deliverer.deliver_held(sid, self._socket(sid))
        return sid

    def enter_room(self, sid: str, namespace: str, room: str, eio_sid: str | None = None) -> None:
        """Add a connection to a room; for a protocol's room, only after Redis has confirmed its channel.

        Raises RealtimeUnavailable, and Conflict when the connection left or ended in the meantime.
        """
        channel = _channel_of_room(room)
        if channel is None or not self._is_local(sid, namespace):
            super().enter_room(sid, namespace, room, eio_sid=eio_sid)
            return
        self._subscriber.subscribe_and_wait(channel, sid)
        if not self._is_local(sid, namespace):
            self._subscriber.unsubscribe(channel, sid)
            raise Conflict("The connection ended while it was joining the room.", code="LEFT_MEANWHILE")
        super().enter_room(sid, namespace, room, eio_sid=eio_sid)

    def leave_room(self, sid: str, namespace: str, room: str) -> None:
        self._unsubscribe(sid, room)  # also when it is still entering
        super().leave_room(sid, namespace, room)

    def basic_enter_room(self, sid: str, namespace: str, room: Any, eio_sid: str | None = None) -> None:
        super().basic_enter_room(sid, namespace, room, eio_sid=eio_sid)
        self._rooms_of.setdefault(sid, set()).add(room)
        self._deliverer.invalidate((room,))

    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None:
        super().basic_leave_room(sid, namespace, room)
        self._rooms_of.get(sid, set()).discard(room)
        self._deliverer.invalidate((room,))
        self._unsubscribe(sid, room)

    def basic_disconnect(self, sid: str, namespace: str, **_: Any) -> None:
        """As in python-socketio, but without a search through all rooms."""
        for room in sorted(self._rooms_of.pop(sid, ()), key=lambda room: room is None):
            self.basic_leave_room(sid, namespace, room)
        self._deliverer.discard_held(sid)
        self.callbacks.pop(sid, None)
        for pending in (self.pending_connect, self.pending_disconnect):
            if sid in pending.get(namespace, ()):
                pending[namespace].remove(sid)
                if not pending[namespace]:
                    del pending[namespace]

    def get_rooms(self, sid: str, namespace: str) -> list[Any]:
        del namespace  # a sid belongs to one namespace
        return [room for room in self._rooms_of.get(sid, ()) if room is not None]

    def emit(self, event: str, data: Any, namespace: str | None = None, room: Any = None, **kwargs: Any) -> None:
        """As in python-socketio, but a connection of this process is reached without Redis."""
        target = kwargs.pop("to", None) or room
        check_emit_target(target)
        local = isinstance(target, str) and self._is_local(target, namespace or "/")
        options = {**kwargs, "ignore_queue": True} if local else kwargs
        super().emit(event, data, namespace=namespace or "/", room=target, **options)

    def _publish(self, data: dict[str, Any]) -> None:
        try:
            self._redis.publish(CONTROL_CHANNEL, json.dumps(data))
        except redis.RedisError as error:
            metrics.CONTROL_FAILURES.inc()
            logger.error("control.failed", extra={"method": data["method"], "error": str(error)})  # noqa: TRY400

    def _deliver(self, batch: Batch) -> None:
        """Deliver one batch, each room's events together and in order."""
        rooms: dict[str, list[bytes]] = {}
        for channel, body in batch:
            try:
                self._dispatch(rooms, channel, body)
            except Exception:
                metrics.FANOUT_FAILURES.inc()
                message = {"channel": channel, "body": body.decode(errors="replace")}
                logger.exception("fanout.failed", extra=message)
        for room, packets in rooms.items():
            self._deliverer.deliver(room, packets)

    def _dispatch(self, rooms: dict[str, list[bytes]], channel: str, body: bytes) -> None:
        if channel == CONTROL_CHANNEL:
            self._handle_control(json.loads(body))
            return
        metrics.FANOUT_EVENTS.inc()
        message, room = decode(body), room_of(channel.removeprefix(CHANNEL_PREFIX))
        if message.is_plain:
            rooms.setdefault(room, []).append(message.packet())
        else:
            self._deliverer.deliver(room, rooms.pop(room, []))
            self._handle_emit({**json.loads(body), "room": room})
        self._resync.note_delivered(channel, seq_of(message))

    def _handle_control(self, message: dict[str, Any]) -> None:
        """Handle another process's request, in a greenlet of its own: handlers may wait for Redis."""
        method = message["method"]
        if method == "resync":
            protocol_id = message["protocolId"]
            self._resync.disconnect_rooms(map(channel_of, (protocol_id, batched_view(protocol_id))))
        elif method in CONTROL_METHODS and (method == "callback" or message.get("host_id") != self.host_id):
            self.server.start_background_task(getattr(self, f"_handle_{method}"), message)

    def _handle_enter_room(self, message: dict[str, Any]) -> None:
        if self._is_local(message["sid"], message["namespace"]):
            self.enter_room(message["sid"], message["namespace"], message["room"])

    def _socket(self, sid: str) -> Any:
        """The Engine.IO connection of a client of this process."""
        return self.server.eio.sockets.get(self.eio_sid_from_sid(sid, "/"))

    def _is_local(self, sid: str, namespace: str) -> bool:
        return bool(self.is_connected(sid, namespace) or self.is_pre_connected(sid, namespace))

    def _unsubscribe(self, sid: str, room: str | None) -> None:
        channel = _channel_of_room(room)
        if channel and self._subscriber.unsubscribe(channel, sid):
            self._resync.forget(channel)


def check_emit_target(target: Any) -> None:
    """Raises ValueError for a protocol's room: its events are numbered and limited by the room limiter."""
    if _channel_of_room(target):
        raise ValueError(f"Only the room limiter emits to {target!r}.")


def _channel_of_room(room: Any) -> str | None:
    """The channel of a protocol's room; None for any other room."""
    if isinstance(room, str) and room.startswith(ROOM_PREFIX):
        return channel_of(room.removeprefix(ROOM_PREFIX))
    return None
