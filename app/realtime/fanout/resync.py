"""Clients whose room moved on while nobody listened here are made to reconnect, and so fetch the room's state.

Without a further event they would see no gap in `seq`, and never learn that they missed something.
"""

import logging
import random
from collections.abc import Iterable
from itertools import chain
from typing import Any

import redis
import uuid_utils.compat as uuid

from app.observability import metrics
from app.realtime.redis_keys import CHANNEL_PREFIX, CONTROL_CHANNEL, MEMORY_KEY, room_of
from app.realtime.scripts import source

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 0.25
SPREAD_SECONDS = 2.0
REASON = "transport error"


class Resync:
    """What each room here has heard, compared with what Redis has sent after the connection to it was lost."""

    def __init__(self, manager: Any, client: Any) -> None:
        self._manager = manager
        self._redis = client
        self._heard: dict[str, int] = {}
        self._memory = b""

    def joined(self, channel: str, seq: int) -> None:
        """The first member of a room was told this number. Later ones' may be ahead of what was sent: a queue waits."""
        self._heard.setdefault(channel, seq)

    def heard(self, channel: str, seq: int | None) -> None:
        if seq is not None and channel in self._heard:
            self._heard[channel] = seq

    def left(self, channel: str) -> None:
        self._heard.pop(channel, None)

    def start(self, channels: set[str], is_same_server: bool) -> None:
        """Check these channels beside the listener, which goes on delivering.

        Another server, or the same after a restart, may have lost its last writes and have reached the same numbers
        anew while nobody listened: its numbers prove nothing.
        """
        self._manager.server.start_background_task(self._check if is_same_server else self.end, channels)

    def check_memory(self) -> None:
        """End the connections of all rooms when Redis has lost its memory. Raises redis.RedisError."""
        memory = self._redis.get(MEMORY_KEY)
        if memory is None:
            self._redis.set(MEMORY_KEY, uuid.uuid4().hex, nx=True)
            memory = self._redis.get(MEMORY_KEY)
        before, self._memory = self._memory, memory
        if before not in (b"", memory):
            logger.warning("redis.memory_lost")
            self.end(list(self._heard))

    def end(self, channels: Iterable[str]) -> None:
        """End the connections of these rooms, whatever their numbers are."""
        rooms = [channel for channel in channels if channel != CONTROL_CHANNEL]
        self._manager.server.start_background_task(self._end_members, rooms)

    def _check(self, channels: set[str]) -> None:
        rooms = [channel for channel in channels if channel != CONTROL_CHANNEL]
        try:
            current = self._current(rooms)
        except redis.RedisError as error:
            logger.warning("resync.unknown", extra={"rooms": len(rooms), "error": str(error)})
            current = {}
        self._manager.server.sleep(SETTLE_SECONDS)  # what was sent before the question is delivered by then
        moved = [room for room in rooms if room not in current or self._heard.get(room, -1) < current[room]]
        self._end_members(moved)

    def _end_members(self, channels: list[str]) -> None:
        members = list(chain.from_iterable(map(self._members, channels)))
        logger.info("resync", extra={"rooms": len(channels), "connections": len(members)})
        self._end_transports(members)

    def _current(self, channels: list[str]) -> dict[str, int]:
        script = self._redis.register_script(source("seq"))
        with self._redis.pipeline(transaction=False) as pipe:
            for channel in channels:
                script(args=[channel.removeprefix(CHANNEL_PREFIX)], client=pipe)
            return {channel: int(seq) for channel, seq in zip(channels, pipe.execute(), strict=True)}

    def _members(self, channel: str) -> list[str]:
        room = room_of(channel.removeprefix(CHANNEL_PREFIX))
        return [engine_sid for _, engine_sid in self._manager.get_participants("/", room)]

    def _end_transports(self, engine_sids: list[str]) -> None:
        random.shuffle(engine_sids)
        server = self._manager.server
        for engine_sid in engine_sids:
            socket = server.eio.sockets.get(engine_sid)
            if socket is not None:
                metrics.RESYNCS.inc()
                socket.close(wait=False, abort=True, reason=REASON)
            server.sleep(SPREAD_SECONDS / len(engine_sids))
