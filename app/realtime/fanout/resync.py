"""Disconnects clients whose room may have missed events, so that they reconnect and fetch the room's snapshot.

Event streams get the snapshot themselves.

Without this, a client would notice a missed event only by the gap in `seq` when the room's next event arrives.
"""

import logging
import math
import random
from collections.abc import Iterable
from typing import Any

import redis
import uuid_utils.compat as uuid

from app.observability import metrics
from app.realtime.fanout.frames import CloseReason
from app.realtime.redis_keys import CONTROL_CHANNEL, MEMORY_KEY, room_of, view_of
from app.realtime.scripts import source

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 0.25
SPREAD_SECONDS = 2.0


class Resync:
    """Compares the last seq delivered to each room here with Redis's, after the connection to Redis was lost."""

    def __init__(self, manager: Any, client: Any) -> None:
        self._manager = manager
        self._redis = client
        self._last_seq: dict[str, int] = {}
        self._epoch = b""

    def note_joined(self, channel: str, seq: int) -> None:
        """Record the seq read by a room's first member. Later members may read one that is still in the room queue."""
        self._last_seq.setdefault(channel, seq)

    def note_delivered(self, channel: str, seq: int | None) -> None:
        if seq is not None and channel in self._last_seq:
            self._last_seq[channel] = seq

    def forget(self, channel: str) -> None:
        self._last_seq.pop(channel, None)

    def check_missed(self, channels: set[str], is_same_server: bool) -> None:
        """Check these channels in the background while delivery continues.

        Without the same server process, all their rooms are disconnected: a restarted or other server may have lost
        its last writes and reached the same numbers again.
        """
        check = self._check if is_same_server else self.disconnect
        self._manager.server.start_background_task(check, channels - {CONTROL_CHANNEL})

    def check_epoch(self) -> None:
        """Disconnect all rooms when Redis has lost its data, and with it the epoch. Raises redis.RedisError."""
        epoch = self._redis.get(MEMORY_KEY)
        if epoch is None:
            self._redis.set(MEMORY_KEY, uuid.uuid4().hex, nx=True)
            epoch = self._redis.get(MEMORY_KEY)
        previous, self._epoch = self._epoch, epoch
        if previous not in (b"", epoch):
            logger.warning("redis.data_lost")
            self.disconnect(list(self._last_seq))

    def _check(self, rooms: set[str]) -> None:
        current: dict[str, int] = {}
        script = self._redis.register_script(source("read_seq"))
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for channel in rooms:
                    script(args=[view_of(channel)], client=pipe)
                current.update(zip(rooms, map(int, pipe.execute()), strict=True))
        except redis.RedisError as error:
            logger.warning("resync.check_failed", extra={"rooms": len(rooms), "error": str(error)})
        self._manager.server.sleep(SETTLE_SECONDS)  # until then, events published before the query are delivered
        self.disconnect([room for room in rooms if self._last_seq.get(room, -1) < current.get(room, math.inf)])

    def disconnect(self, channels: Iterable[str]) -> None:
        """Disconnect the sockets in these channels' rooms, spread over 2 s; streams get the state again."""
        manager, server = self._manager, self._manager.server
        views = [view_of(channel) for channel in channels]
        manager.streams.resync(views)
        rooms = list(map(room_of, views))
        members = [engine_sid for room in rooms for _, engine_sid in manager.get_participants("/", room)]
        logger.info("resync.started", extra={"rooms": len(rooms), "connections": len(members)})
        random.shuffle(members)
        for engine_sid in members:
            socket = server.eio.sockets.get(engine_sid)
            if socket is not None:
                metrics.RESYNCS.inc()
                socket.close(wait=False, abort=True, reason=CloseReason.TRANSPORT_ERROR)
            server.sleep(SPREAD_SECONDS / len(members))
