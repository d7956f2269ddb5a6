"""The fan-out: from a room's Redis channel to the connections of that room in this process.

A web process listens to a room's channel while it has members there. The meter publishes there, nothing else.
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
        self._subscriber = Subscriber(redis_url, on_batch=self._deliver, on_restored=self._resync.start)
        self._subscriber.keep(CONTROL_CHANNEL, self.host_id)

    def stop(self) -> None:
        """End the listener; connections stay as they are."""
        self._subscriber.stop()

    def note_seq(self, protocol_id: str, seq: str) -> None:
        """Tell the room's number as a joining client was told it; it counts until an event is delivered."""
        self._resync.joined(channel_of(protocol_id), int(seq))

    def check_memory(self) -> None:
        """Resync all clients when Redis has lost its memory. Raises redis.RedisError."""
        self._resync.check_memory()

    # What python-socketio calls.

    def set_server(self, server: Any) -> None:
        super().set_server(server)
        if server.eio.async_mode == runtime.ASYNC_MODE:
            from app.realtime.fanout import engine

            engine.install(server.eio)
            server.eio.on_websocket = lambda _socket: self._deliverer.drop_all()

    def _thread(self) -> None:
        self._subscriber.run()

    def connect(self, sid: str, namespace: str) -> str:
        sid = super().connect(sid, namespace)
        self._deliverer.drop(self._rooms_of.get(sid, ()))
        self._deliverer.arrived(sid, self._socket(sid))
        return sid

    def enter_room(self, sid: str, namespace: str, room: str, eio_sid: str | None = None) -> None:
        """Add a connection to a room; for a protocol's room, only after Redis has confirmed its channel.

        Raises RealtimeUnavailable, and Conflict when the connection left or was lost in the meantime.
        """
        channel = _channel_of_room(room)
        if channel is None or not self._is_here(sid, namespace):
            super().enter_room(sid, namespace, room, eio_sid=eio_sid)
            return
        self._subscriber.hold(channel, sid)
        if not self._is_here(sid, namespace):
            self._subscriber.release(channel, sid)
            raise Conflict("The connection was lost while it was entering the room.", code="LEFT_MEANWHILE")
        super().enter_room(sid, namespace, room, eio_sid=eio_sid)

    def leave_room(self, sid: str, namespace: str, room: str) -> None:
        self._let_go(sid, room)  # also when it is still entering
        super().leave_room(sid, namespace, room)

    def basic_enter_room(self, sid: str, namespace: str, room: Any, eio_sid: str | None = None) -> None:
        super().basic_enter_room(sid, namespace, room, eio_sid=eio_sid)
        self._rooms_of.setdefault(sid, set()).add(room)
        self._deliverer.drop((room,))

    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None:
        super().basic_leave_room(sid, namespace, room)
        self._rooms_of.get(sid, set()).discard(room)
        self._deliverer.drop((room,))
        self._let_go(sid, room)

    def basic_disconnect(self, sid: str, namespace: str, **_: Any) -> None:
        """As in python-socketio, but without looking through every room there is."""
        for room in sorted(self._rooms_of.pop(sid, ()), key=lambda room: room is None):
            self.basic_leave_room(sid, namespace, room)
        self._deliverer.forget(sid)
        self.callbacks.pop(sid, None)
        for pending in (self.pending_connect, self.pending_disconnect):
            if sid in pending.get(namespace, ()):
                pending[namespace].remove(sid)
                if not pending[namespace]:
                    del pending[namespace]

    def get_rooms(self, sid: str, namespace: str) -> list[Any]:
        del namespace  # a sid belongs to one
        return [room for room in self._rooms_of.get(sid, ()) if room is not None]

    def emit(self, event: str, data: Any, namespace: str | None = None, room: Any = None, **kwargs: Any) -> None:
        """As in python-socketio, but a connection of this process is served without asking Redis."""
        target = kwargs.pop("to", None) or room
        if _channel_of_room(target):
            raise ValueError(f"Events reach {target!r} through the meter alone.")
        local = isinstance(target, str) and self._is_here(target, namespace or "/")
        options = {**kwargs, "ignore_queue": True} if local else kwargs
        super().emit(event, data, namespace=namespace or "/", room=target, **options)

    def _publish(self, data: dict[str, Any]) -> None:
        try:
            self._redis.publish(CONTROL_CHANNEL, json.dumps(data))
        except redis.RedisError as error:
            metrics.CONTROL_FAILURES.inc()
            logger.error("control.failed", extra={"method": data["method"], "error": str(error)})  # noqa: TRY400

    # From the channel to the members.

    def _deliver(self, batch: Batch) -> None:
        """Hand on all that one read brought, each room's events together and in order."""
        rooms: dict[str, list[bytes]] = {}
        for channel, body in batch:
            try:
                self._sort(rooms, channel, body)
            except Exception:
                metrics.FANOUT_FAILURES.inc()
                whole = {"channel": channel, "body": body.decode(errors="replace")}
                logger.exception("fanout.failed", extra=whole)
        for room, packets in rooms.items():
            self._deliverer.send(room, packets)

    def _sort(self, rooms: dict[str, list[bytes]], channel: str, body: bytes) -> None:
        if channel == CONTROL_CHANNEL:
            self._obey(json.loads(body))
            return
        metrics.FANOUT_EVENTS.inc()
        message, room = decode(body), room_of(channel.removeprefix(CHANNEL_PREFIX))
        if message.is_plain:
            rooms.setdefault(room, []).append(message.packet())
        else:
            self._deliverer.send(room, rooms.pop(room, []))
            self._handle_emit({**json.loads(body), "room": room})
        self._resync.heard(channel, seq_of(message))

    def _obey(self, message: dict[str, Any]) -> None:
        """Do what another process asks; beside the listener, since handlers may wait for Redis themselves."""
        method = message["method"]
        if method == "resync":
            protocol_id = message["protocolId"]
            self._resync.end(map(channel_of, (protocol_id, batched_view(protocol_id))))
        elif method in CONTROL_METHODS and (method == "callback" or message.get("host_id") != self.host_id):
            self.server.start_background_task(getattr(self, f"_handle_{method}"), message)

    def _handle_enter_room(self, message: dict[str, Any]) -> None:
        if self._is_here(message["sid"], message["namespace"]):
            self.enter_room(message["sid"], message["namespace"], message["room"])

    def _socket(self, sid: str) -> Any:
        """The Engine.IO connection of a client that is here."""
        return self.server.eio.sockets.get(self.eio_sid_from_sid(sid, "/"))

    def _is_here(self, sid: str, namespace: str) -> bool:
        return bool(self.is_connected(sid, namespace) or self.is_pre_connected(sid, namespace))

    def _let_go(self, sid: str, room: str | None) -> None:
        channel = _channel_of_room(room)
        if channel and self._subscriber.release(channel, sid):
            self._resync.left(channel)


def _channel_of_room(room: Any) -> str | None:
    """The channel of a protocol's room, None for any other room."""
    if isinstance(room, str) and room.startswith(ROOM_PREFIX):
        return channel_of(room.removeprefix(ROOM_PREFIX))
    return None
