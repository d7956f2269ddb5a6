"""The Redis channels this process is subscribed to, on the servers that own their slots, across losses of any kind.

It replaces redis-py's PubSub, which subscribes again after a loss without reporting that messages were missed, and
returns messages one by one instead of all of one `recv`.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import redis
from redis.crc import key_slot
from redis.exceptions import MovedError

from app.core import runtime
from app.core.errors import Conflict, RealtimeUnavailable
from app.core.redis_topology import SLOTS, Topology
from app.observability import metrics
from app.realtime.fanout.pubsub_connection import Batch, PubSubConnection, PubSubServer

logger = logging.getLogger(__name__)

CONFIRM_SECONDS = 2.0
CHECK_SECONDS = 2.0  # between two comparisons of the subscriptions with the owners of the slots
REFRESH_SECONDS = 15.0  # at most between two questions to a cluster for its slots
REFUSED_SECONDS = 0.25
UNKNOWN_SECONDS = 1.0

CLASSIC = ("SUBSCRIBE", "UNSUBSCRIBE")
SHARDED = ("SSUBSCRIBE", "SUNSUBSCRIBE")


@dataclass(eq=False)
class _Channel:
    """The users of a channel, by id, and whether Redis has confirmed the subscription, and which server did last."""

    slot: int
    users: set[str] = field(default_factory=set)
    confirmed: threading.Event = field(default_factory=threading.Event)
    server_id: str = ""


class Subscriber:
    """Keeps every channel that has users subscribed on the server that owns its slot.

    `on_batch` gets the messages of one read as (channel, body). After a loss, once channels are subscribed again,
    `on_restored` gets those that may have missed messages and whether it is the same server process.
    Not `sharded`: one channel for all servers of a group, as for the control channel.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        on_batch: Callable[[Batch], None],
        on_restored: Callable[[set[str], bool], None],
        sharded: bool = True,
    ) -> None:
        self._topology, self._on_batch, self._on_restored = topology, on_batch, on_restored
        self._sharded, self._commands = sharded, SHARDED if sharded else CLASSIC
        self._on_change = metrics.FANOUT_ROOMS.set if sharded else lambda _: None
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._channels: dict[str, _Channel] = {}
        self._by_slot: dict[int, set[str]] = {}
        self._placed: dict[int, PubSubServer] = {}
        self._servers: dict[str, PubSubServer] = {}
        self._missed: set[str] = set()
        self._is_map_doubtful, self._refresh_at = False, 0.0

    def subscribe(self, channel: str, user: str) -> _Channel:
        """Subscribe without waiting for Redis."""
        with self._lock:
            entry = self._channels.get(channel)
            if entry is None:
                entry = self._channels[channel] = _Channel(key_slot(channel.encode()))
                self._by_slot.setdefault(entry.slot, set()).add(channel)
                self._on_change(len(self._channels))
                if (server := self._placed.get(entry.slot)) is not None:
                    server.send(self._commands[0], [channel])
                else:
                    self._wake.set()
            entry.users.add(user)
            return entry

    def subscribe_and_wait(self, channel: str, user: str) -> None:
        """Subscribe and wait until Redis has confirmed it.

        Raises DependencyUnavailable after 2 s, and Conflict when the user unsubscribed meanwhile.
        """
        entry = self.subscribe(channel, user)
        if not entry.confirmed.wait(CONFIRM_SECONDS):
            self.unsubscribe(channel, user)
            detail = f"Redis did not confirm the subscription within {CONFIRM_SECONDS:g} s."
            raise RealtimeUnavailable(detail)
        if user not in entry.users:
            raise Conflict("The connection left the room while it was joining it.", code="LEFT_MEANWHILE")

    def unsubscribe(self, channel: str, user: str) -> bool:
        """Remove a user; the last one ends the subscription. Returns whether this was the last."""
        with self._lock:
            entry = self._channels.get(channel)
            if entry is None:
                return False
            entry.users.discard(user)
            if entry.users:
                return False
            del self._channels[channel]
            self._by_slot[entry.slot].discard(channel)
            self._missed.discard(channel)
            self._on_change(len(self._channels))
            if (server := self._placed.get(entry.slot)) is not None and server.connection is not None:
                server.leaving[channel] += 1
                server.send(self._commands[1], [channel])
            return True

    def run(self) -> None:
        """For ever assign each slot with channels to the server that owns it. A greenlet for each server reads."""
        while True:
            try:
                pause = self._place_slots()
            except redis.RedisError as error:  # no server tells who owns what
                logger.warning("subscriber.failed", extra={"error": str(error)})
                pause = UNKNOWN_SECONDS
            self._wake.wait(pause)
            self._wake.clear()

    def _place_slots(self) -> float:
        """Returns after how many seconds to look again."""
        if self._is_map_doubtful or time.monotonic() >= self._refresh_at:
            self._refresh_at = time.monotonic() + REFRESH_SECONDS
            self._topology.refresh()
        slots = [slot for slot, channels in list(self._by_slot.items()) if channels]
        owners = self._topology.owners(slots)
        with self._lock:
            for name, owned in owners.items():
                for slot in owned:
                    self._place(slot, self._server(name))
            if unused := self._servers.keys() - owners.keys():
                for name in unused - self._topology.owners(range(SLOTS)).keys():
                    self._servers.pop(name).retire()
            pauses = [self._ask_again(server) for server in self._servers.values() if server.refused_at is not None]
        self._is_map_doubtful = len(slots) > sum(map(len, owners.values()))  # a slot without an owner
        return min([*pauses, REFUSED_SECONDS if self._is_map_doubtful else CHECK_SECONDS])

    def _server(self, name: str) -> PubSubServer:
        if name not in self._servers:
            server = self._servers[name] = PubSubServer(name)
            runtime.spawn(server.run, self)
        return self._servers[name]

    def _place(self, slot: int, server: PubSubServer) -> None:
        if (earlier := self._placed.get(slot)) is server:
            return
        if earlier is not None:
            earlier.send(self._commands[1], self._by_slot[slot])
            self._lose(slot)
        self._placed[slot] = server
        server.send(self._commands[0], self._by_slot[slot])

    def _lose(self, slot: int) -> None:
        """Forget where a slot is; what its channels publish until they are subscribed again is missed."""
        server = self._placed.pop(slot)
        for channel in self._by_slot[slot]:
            server.leaving.pop(channel, None)
            entry = self._channels[channel]
            if entry.confirmed.is_set():
                entry.confirmed.clear()
                self._missed.add(channel)

    def _ask_again(self, server: PubSubServer) -> float:
        """Repeat subscriptions that the server has refused a moment ago; returns the seconds until then."""
        if (wait := (server.refused_at or 0.0) + REFUSED_SECONDS - time.monotonic()) > 0:
            return wait
        server.refused_at = None
        unconfirmed = [each for each in self._of(server) if not self._channels[each].confirmed.is_set()]
        server.send(self._commands[0], unconfirmed)
        return CHECK_SECONDS

    def _of(self, server: PubSubServer) -> list[str]:
        return [each for slot, placed in self._placed.items() if placed is server for each in self._by_slot[slot]]

    def _look_again(self) -> None:
        self._is_map_doubtful = True
        self._wake.set()

    def open(self, server: PubSubServer) -> PubSubConnection:
        connection = PubSubConnection(self._topology.client(server.name))
        with self._lock:
            server.connection, server.refused_at = connection, None
            channels = self._of(server)
            server.send(self._commands[0], channels)
        logger.info("subscriber.connected", extra={"server": server.name, "channels": len(channels)})
        return connection

    def handle_loss(self, server: PubSubServer, error: Exception) -> None:
        with self._lock:
            channels = self._of(server)
            for slot in [slot for slot, placed in self._placed.items() if placed is server]:
                self._lose(slot)
            server.disconnect()
        if not server.is_retired:
            if self._sharded:
                metrics.SUBSCRIBER_LOSSES.inc()
            details = {"server": server.name, "error": str(error), "channels": len(channels)}
            logger.warning("subscriber.lost", extra=details)
            self._look_again()

    def handle_batch(self, batch: Batch) -> None:
        try:
            self._on_batch(batch)
        except Exception:  # a message that cannot be handled must not end the reading
            metrics.FANOUT_FAILURES.inc()
            logger.exception("fanout.failed")

    def handle_confirmed(self, server: PubSubServer, channels: list[str]) -> None:
        restored: dict[bool, set[str]] = {}
        for channel in channels:
            entry = self._channels.get(channel)
            if entry is None or self._placed.get(entry.slot) is not server:
                continue
            if channel in self._missed:
                self._missed.discard(channel)
                restored.setdefault(entry.server_id in ("", server.id), set()).add(channel)
            entry.server_id = server.id
            entry.confirmed.set()
        for is_same_server, missed in restored.items():
            self._on_restored(missed, is_same_server)

    def handle_end(self, server: PubSubServer, slot: int) -> None:
        """The server has ended subscriptions by itself: it does not own the slot any more."""
        with self._lock:
            if self._placed.get(slot) is not server:
                return
            self._lose(slot)
        logger.info("subscriber.slot_moved", extra={"server": server.name, "slot": slot})
        self._look_again()

    def handle_error(self, server: PubSubServer, error: redis.RedisError) -> None:
        """MOVED ends the subscriptions of a slot; after any other error those not confirmed are asked for again."""
        if isinstance(error, MovedError):
            with contextlib.suppress(redis.RedisError):
                self._topology.redirect(error)
            self.handle_end(server, error.slot_id)
            return
        logger.warning("subscriber.refused", extra={"server": server.name, "error": str(error)})
        server.refused_at = time.monotonic()
        self._wake.set()
