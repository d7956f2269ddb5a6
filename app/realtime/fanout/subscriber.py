"""Which channels this process listens to, and the listener that survives Redis restarts."""

import logging
import random
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import hiredis
import redis

from app.core.errors import Conflict, DependencyUnavailable
from app.observability import metrics
from app.realtime.fanout.pubsub_connection import PubSubConnection

logger = logging.getLogger(__name__)

CONFIRM_SECONDS = 2.0
BACKOFF_FIRST_SECONDS = 0.05
BACKOFF_MOST_SECONDS = 1.0
RESTORED = "restored"
LINK_ERRORS = (redis.RedisError, OSError, EOFError, hiredis.HiredisError)

Batch = list[tuple[str, bytes]]


class RealtimeUnavailable(DependencyUnavailable):
    """Redis did not confirm the subscription in time: events of this room would not arrive."""

    code, status, retry_after = "REALTIME_UNAVAILABLE", HTTPStatus.SERVICE_UNAVAILABLE, 1


@dataclass(eq=False)
class _Channel:
    """Who here wants a channel, and whether Redis has confirmed that it sends it to us."""

    holders: set[str] = field(default_factory=set)
    confirmed: threading.Event = field(default_factory=threading.Event)


class Subscriber:
    """The set of channels with holders, kept subscribed whatever happens to Redis.

    `on_batch` gets the messages of one read as (channel, body); `on_restored` the channels on which something
    may have been missed, once all of them are subscribed again, and whether the server is still the same one.
    """

    def __init__(
        self, url: str, *, on_batch: Callable[[Batch], None], on_restored: Callable[[set[str], bool], None]
    ) -> None:
        self._url = url
        self._on_batch = on_batch
        self._on_restored = on_restored
        self._lock = threading.Lock()
        self._channels: dict[str, _Channel] = {}
        self._asked: defaultdict[str, deque[_Channel]] = defaultdict(deque)
        self._missed: set[str] = set()
        self._server_id = ""
        self._is_same_server = True
        self._link: PubSubConnection | None = None
        self._stopped = threading.Event()

    def keep(self, channel: str, holder: str) -> _Channel:
        """Want a channel without waiting for Redis."""
        with self._lock:
            entry = self._channels.get(channel)
            if entry is None:
                entry = self._channels[channel] = _Channel()
                metrics.FANOUT_ROOMS.set(len(self._channels) - 1)  # one channel is not a room's
                self._subscribe([channel])
            entry.holders.add(holder)
            return entry

    def hold(self, channel: str, holder: str) -> None:
        """Want a channel and wait until Redis has confirmed it.

        Raises RealtimeUnavailable after 2 s, and Conflict when the holder let go while it waited.
        """
        entry = self.keep(channel, holder)
        if not entry.confirmed.wait(CONFIRM_SECONDS):
            self.release(channel, holder)
            raise RealtimeUnavailable(f"Redis did not confirm the subscription within {CONFIRM_SECONDS:g} s.")
        if holder not in entry.holders:
            raise Conflict("The connection left the room while it was entering it.", code="LEFT_MEANWHILE")

    def release(self, channel: str, holder: str) -> bool:
        """Want a channel no longer; the last holder's leaving ends the subscription. True when it did."""
        with self._lock:
            entry = self._channels.get(channel)
            if entry is None:
                return False
            entry.holders.discard(holder)
            if entry.holders:
                return False
            del self._channels[channel]
            metrics.FANOUT_ROOMS.set(len(self._channels) - 1)
            self._send("UNSUBSCRIBE", [channel])
            return True

    def stop(self) -> None:
        """End `run`, from any greenlet."""
        self._stopped.set()
        with self._lock:
            link = self._link
        if link is not None:
            link.close()

    def run(self) -> None:
        """Listen until `stop`; comes back from every loss, with a growing, jittered delay."""
        failures = 0
        while not self._stopped.is_set():
            try:
                link = self._open()
                while not self._stopped.is_set():
                    self._take(link.read())
                    failures = 0
            except LINK_ERRORS as error:
                failures += 1
                self._lost(error)
                most = min(BACKOFF_MOST_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** min(failures, 10))
                self._stopped.wait(random.uniform(most / 2, most))  # noqa: S311 - jitter
        self._lost(None)

    def _open(self) -> PubSubConnection:
        link = PubSubConnection(self._url)
        self._is_same_server = self._is_same_server and link.server_id == (self._server_id or link.server_id)
        self._server_id = link.server_id
        with self._lock:
            self._link = link
            self._asked.clear()
            self._subscribe(list(self._channels))
            self._send("PING", [RESTORED])
        return link

    def _lost(self, error: Exception | None) -> None:
        with self._lock:
            link, self._link = self._link, None
            for channel, entry in self._channels.items():
                if entry.confirmed.is_set():
                    entry.confirmed.clear()
                    self._missed.add(channel)
        if link is not None:
            link.close()
        if error is not None and not self._stopped.is_set():
            metrics.SUBSCRIBER_LOSSES.inc()
            logger.warning("subscriber.lost", extra={"error": str(error), "channels": len(self._channels)})

    def _subscribe(self, channels: list[str]) -> None:
        for channel in channels:
            self._asked[channel].append(self._channels[channel])
        self._send("SUBSCRIBE", channels)

    def _send(self, command: str, arguments: list[str]) -> None:
        """Called under the lock, so that Redis hears joins and leaves in the order of the decisions."""
        if self._link is None or not arguments:
            return
        try:
            self._link.send(command, *arguments)
        except LINK_ERRORS:
            self._link.close()  # the listener notices and subscribes everything anew

    def _take(self, replies: Iterable[Any]) -> None:
        batch: Batch = []
        for reply in replies:
            kind = reply[0]
            if kind == b"message":
                batch.append((reply[1].decode(), reply[2]))
            elif kind == b"subscribe":
                self._confirm(reply[1].decode())
            elif kind == b"pong" and reply[1] == RESTORED.encode():
                self._restored()
        if batch:
            self._shielded(self._on_batch, batch)

    def _confirm(self, channel: str) -> None:
        """Replies come in the commands' order: each answers the oldest open one of its channel."""
        waiting = self._asked[channel]
        entry = waiting.popleft()
        if not waiting:
            del self._asked[channel]
        entry.confirmed.set()

    def _restored(self) -> None:
        missed, self._missed = self._missed, set()
        logger.info("subscriber.ready", extra={"channels": len(self._channels), "missed": len(missed)})
        if missed:
            self._shielded(self._on_restored, missed, self._is_same_server)
        self._is_same_server = True

    def _shielded(self, handler: Callable[..., None], *arguments: Any) -> None:
        """One message that cannot be handled must not silence all rooms."""
        try:
            handler(*arguments)
        except Exception:
            metrics.FANOUT_FAILURES.inc()
            logger.exception("fanout.failed")
