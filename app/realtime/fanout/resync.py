"""Disconnects clients whose room may have missed events, so that they reconnect and fetch the room's snapshot.

Event streams get the snapshot themselves.

Without this, a client would notice a missed event only by the gap in `seq` when the room's next event arrives.
"""

import logging
import random
from collections import defaultdict
from collections.abc import Iterable
from itertools import compress
from typing import Any

import redis

from app.observability import metrics
from app.realtime.fanout.frames import CloseReason
from app.realtime.limiter import current_seqs
from app.realtime.redis_keys import CONTROL_CHANNEL, partition_key, partition_of, room_of, slot_of_key, view_of
from app.realtime.scripts import RoomScripts

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 0.25
SPREAD_SECONDS = 2.0


class Resync:
    """Compares the last seq delivered to each room here with Redis's, after a connection to Redis was lost."""

    def __init__(self, manager: Any, rooms: RoomScripts) -> None:
        self._manager, self._rooms = manager, rooms
        self._last_seq: dict[str, int] = {}
        self._memories: dict[int, bytes | None] = {}  # by partition

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
        if channels := channels - {CONTROL_CHANNEL}:
            if not is_same_server:
                for channel in channels:
                    self._memories.pop(_partition_of(channel), None)  # the reconnection covers what has changed there
            check = self._check if is_same_server else self.disconnect
            self._manager.server.start_background_task(check, channels)

    def check_memory(self) -> None:
        """Disconnect the rooms of each partition whose memory is not what it was: lost, or of another server."""
        rooms: defaultdict[int, list[str]] = defaultdict(list)
        for channel in self._last_seq:
            rooms[_partition_of(channel)].append(channel)
        clocks = [partition_key(partition, "clock") for partition in rooms]
        replies = self._rooms.nodes.execute([(slot_of_key(clock), ("GET", clock)) for clock in clocks])
        known, self._memories = self._memories, {}
        lost = []
        for partition, clock in zip(rooms, replies, strict=True):
            if isinstance(clock, redis.RedisError):
                continue
            self._memories[partition] = memory = clock and b" ".join(clock.split()[2:])  # begin and server
            if known.get(partition) not in (None, memory):
                lost += rooms[partition]
        if lost:
            logger.warning("redis.data_lost", extra={"rooms": len(lost)})
            self._manager.server.start_background_task(self.disconnect, lost)

    def _check(self, rooms: set[str]) -> None:
        channels = list(rooms)
        try:
            current = current_seqs([view_of(channel) for channel in channels], self._rooms)
        except redis.RedisError as error:
            current = [error] * len(channels)
        if failed := [each for each in current if isinstance(each, redis.RedisError)]:
            logger.warning("resync.check_failed", extra={"rooms": len(failed), "error": str(failed[0])})
        self._manager.server.sleep(SETTLE_SECONDS)  # until then, events published before the query are delivered
        are_missed = [
            isinstance(seq, redis.RedisError) or self._last_seq.get(channel, -1) < seq
            for channel, seq in zip(channels, current, strict=True)
        ]
        self.disconnect(list(compress(channels, are_missed)))

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


def _partition_of(channel: str) -> int:
    return partition_of(view_of(channel).removeprefix("~"))
