"""The Redis channels this process is subscribed to, and a listener that survives Redis restarts.

It replaces redis-py's PubSub, which subscribes again after a loss without reporting that messages were missed.
"""

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
MIN_BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 1.0
RESTORED = "restored"
CONNECTION_ERRORS = (redis.RedisError, OSError, EOFError, hiredis.HiredisError)

Batch = list[tuple[str, bytes]]


class RealtimeUnavailable(DependencyUnavailable):
    """Redis did not confirm the subscription in time, so events of this room would not arrive."""

    code, status, retry_after = "REALTIME_UNAVAILABLE", HTTPStatus.SERVICE_UNAVAILABLE, 1


@dataclass(eq=False)
class _Channel:
    """The users of a channel, by id, and whether Redis has confirmed the subscription."""

    users: set[str] = field(default_factory=set)
    confirmed: threading.Event = field(default_factory=threading.Event)


class Subscriber:
    """Keeps every channel that has users subscribed, across losses of the connection.

    `on_batch` gets the messages of one read as (channel, body). After a loss, once all channels are subscribed again,
    `on_restored` gets the channels that may have missed messages and whether it is the same server process.
    """

    def __init__(
        self, url: str, *, on_batch: Callable[[Batch], None], on_restored: Callable[[set[str], bool], None]
    ) -> None:
        self._url = url
        self._on_batch = on_batch
        self._on_restored = on_restored
        self._lock = threading.Lock()
        self._channels: dict[str, _Channel] = {}
        self._unconfirmed: defaultdict[str, deque[_Channel]] = defaultdict(deque)
        self._missed: set[str] = set()
        self._server_id = ""
        self._is_same_server = True
        self._connection: PubSubConnection | None = None
        self._stopped = threading.Event()

    def subscribe(self, channel: str, user: str) -> _Channel:
        """Subscribe without waiting for Redis."""
        with self._lock:
            entry = self._channels.get(channel)
            if entry is None:
                entry = self._channels[channel] = _Channel()
                metrics.FANOUT_ROOMS.set(len(self._channels) - 1)  # without the control channel
                self._send_subscribe([channel])
            entry.users.add(user)
            return entry

    def subscribe_and_wait(self, channel: str, user: str) -> None:
        """Subscribe and wait until Redis has confirmed it.

        Raises RealtimeUnavailable after 2 s, and Conflict when the user unsubscribed meanwhile.
        """
        entry = self.subscribe(channel, user)
        if not entry.confirmed.wait(CONFIRM_SECONDS):
            self.unsubscribe(channel, user)
            raise RealtimeUnavailable(f"Redis did not confirm the subscription within {CONFIRM_SECONDS:g} s.")
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
            metrics.FANOUT_ROOMS.set(len(self._channels) - 1)
            self._send("UNSUBSCRIBE", [channel])
            return True

    def stop(self) -> None:
        """End `run`; may be called from any greenlet."""
        self._stopped.set()
        with self._lock:
            connection = self._connection
        if connection is not None:
            connection.close()

    def run(self) -> None:
        """Listen until `stop`. Reconnects after every loss, with a growing, jittered delay."""
        failures = 0
        while not self._stopped.is_set():
            try:
                connection = self._open()
                while not self._stopped.is_set():
                    self._handle_replies(connection.read())
                    failures = 0
            except CONNECTION_ERRORS as error:
                failures += 1
                self._handle_loss(error)
                limit = min(MAX_BACKOFF_SECONDS, MIN_BACKOFF_SECONDS * 2 ** min(failures, 10))
                self._stopped.wait(random.uniform(limit / 2, limit))  # noqa: S311 - jitter
        self._handle_loss(None)

    def _open(self) -> PubSubConnection:
        connection = PubSubConnection(self._url)
        self._is_same_server &= self._server_id in ("", connection.server_id)
        self._server_id = connection.server_id
        with self._lock:
            self._connection = connection
            self._unconfirmed.clear()
            self._send_subscribe(list(self._channels))
            self._send("PING", [RESTORED])
        return connection

    def _handle_loss(self, error: Exception | None) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            for channel, entry in self._channels.items():
                if entry.confirmed.is_set():
                    entry.confirmed.clear()
                    self._missed.add(channel)
        if connection is not None:
            connection.close()
        if error is not None and not self._stopped.is_set():
            metrics.SUBSCRIBER_LOSSES.inc()
            logger.warning("subscriber.lost", extra={"error": str(error), "channels": len(self._channels)})

    def _send_subscribe(self, channels: list[str]) -> None:
        for channel in channels:
            self._unconfirmed[channel].append(self._channels[channel])
        self._send("SUBSCRIBE", channels)

    def _send(self, command: str, arguments: list[str]) -> None:
        """Called under the lock, so that Redis receives the commands in the order of the changes."""
        if self._connection is None or not arguments:
            return
        try:
            self._connection.send(command, *arguments)
        except CONNECTION_ERRORS:
            self._connection.close()  # the listener notices and subscribes to everything again

    def _handle_replies(self, replies: Iterable[Any]) -> None:
        batch: Batch = []
        for reply in replies:
            kind = reply[0]
            if kind == b"message":
                batch.append((reply[1].decode(), reply[2]))
            elif kind == b"subscribe":
                self._confirm(reply[1].decode())
            elif kind == b"pong" and reply[1] == RESTORED.encode():
                self._handle_restored()
        if batch:
            self._call_safely(self._on_batch, batch)

    def _confirm(self, channel: str) -> None:
        """Replies come in the order of the commands: each confirms its channel's oldest open one."""
        waiting = self._unconfirmed[channel]
        entry = waiting.popleft()
        if not waiting:
            del self._unconfirmed[channel]
        entry.confirmed.set()

    def _handle_restored(self) -> None:
        missed, self._missed = self._missed, set()
        logger.info("subscriber.connected", extra={"channels": len(self._channels), "missed": len(missed)})
        if missed:
            self._call_safely(self._on_restored, missed, self._is_same_server)
        self._is_same_server = True

    def _call_safely(self, handler: Callable[..., None], *arguments: Any) -> None:
        """A message that cannot be handled must not end the listener."""
        try:
            handler(*arguments)
        except Exception:
            metrics.FANOUT_FAILURES.inc()
            logger.exception("fanout.failed")
