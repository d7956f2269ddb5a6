"""python-socketio's own client manager on the fan-out's channels, with stock Engine.IO connections.

The way back from the own fan-out (docs/decisions/0008): `sockets.handlers.init_app(..., stock_fanout=True)`. It needs
54 µs of CPU per delivered message instead of 10, has unbounded queues, and resyncs no client after a loss of Redis.
"""

from collections.abc import Iterator
from typing import Any

from socketio import RedisManager

from app.core.redis_connection import connect_redis
from app.realtime.fanout.manager import check_emit_target
from app.realtime.redis_keys import CHANNEL_PREFIX, CONTROL_CHANNEL


class StockManager(RedisManager):  # type: ignore[misc]
    def __init__(self, redis_url: str) -> None:
        super().__init__(redis_url, channel=CONTROL_CHANNEL)

    def note_seq(self, protocol_id: str, seq: str) -> None:
        """Only the own fan-out resyncs."""

    def check_epoch(self) -> None:
        """Only the own fan-out resyncs."""

    def emit(self, event: str, data: Any, namespace: str | None = None, room: Any = None, **kwargs: Any) -> None:
        check_emit_target(kwargs.get("to") or room)
        super().emit(event, data, namespace=namespace, room=room, **kwargs)

    def _redis_connect(self) -> None:
        self.redis = connect_redis(self.redis_url, blocking=True)
        self.pubsub = self.redis.pubsub(ignore_subscribe_messages=True)
        self.pubsub.psubscribe(f"{CHANNEL_PREFIX}*")
        self.connected = True

    def _listen(self) -> Iterator[bytes]:
        for message in self._redis_listen_with_retries():
            if message["type"] in ("message", "pmessage"):
                yield message["data"]
