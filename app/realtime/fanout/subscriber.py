"""The Redis channels this process is subscribed to, and a listener that survives Redis restarts.

It replaces redis-py's PubSub, which subscribes again after a loss without reporting that messages were missed, and
returns messages one by one instead of all of one `recv`.
"""

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import hiredis
import redis

from app.core import runtime
from app.core.errors import Conflict, RealtimeUnavailable
from app.core.redis_connection import connect_redis
from app.observability import metrics

logger = logging.getLogger(__name__)

CONFIRM_SECONDS = 2.0
MIN_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.05, 1.0
READ_BYTES = 256 * 1024
PING_AFTER_SECONDS, MAX_UNANSWERED_PINGS = 2.0, 3
RESTORED = "restored"
CONNECTION_ERRORS = (redis.RedisError, OSError, EOFError, hiredis.HiredisError)

Batch = list[tuple[str, bytes]]


class PubSubConnection:
    """A connection opened by redis-py (address, login, Sentinel), whose socket is then read and written directly.

    One greenlet reads; callers of `send` synchronize among themselves. A silent connection is pinged, which detects
    a half-open one. All methods raise redis.RedisError or OSError when the connection is lost.
    """

    def __init__(self, url: str) -> None:
        self._pool = connect_redis(url, blocking=True).connection_pool
        connection: Any = self._pool.get_connection()
        self._connection = connection
        self._socket = connection._sock  # noqa: SLF001 - guarded by the contract test
        self._socket.settimeout(PING_AFTER_SECONDS)
        self._reader = hiredis.Reader()
        self._unanswered_pings = 0
        try:
            connection.send_command("INFO", "server")
            lines = connection.read_response().decode().splitlines()
        except redis.ResponseError:  # not permitted
            lines = []
        self.server_id = next((line.partition(":")[2] for line in lines if line.startswith("run_id:")), "")

    def send(self, command: str, *arguments: str) -> None:
        self._socket.sendall(b"".join(self._connection.pack_command(command, *arguments)))

    def read(self) -> list[Any]:
        """Wait for input and return all complete replies, possibly none."""
        try:
            data = self._socket.recv(READ_BYTES)
        except TimeoutError:
            self._unanswered_pings += 1
            if self._unanswered_pings > MAX_UNANSWERED_PINGS:
                raise redis.ConnectionError("Redis does not answer on the pub/sub connection.") from None
            self.send("PING")
            return []
        if not data:
            raise redis.ConnectionError("Redis closed the pub/sub connection.")
        self._unanswered_pings = 0
        self._reader.feed(data)
        replies = []
        while (reply := self._reader.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                raise redis.ResponseError(str(reply))
            replies.append(reply)
        return replies

    def close(self) -> None:
        """May be called from any greenlet; wakes a reader blocked in `read`."""
        self._connection.disconnect()


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
        self._url, self._on_batch, self._on_restored = url, on_batch, on_restored
        self._lock = threading.Lock()
        self._channels: dict[str, _Channel] = {}
        self._unconfirmed: deque[_Channel] = deque()  # in the order of the commands and so of the replies
        self._missed: set[str] = set()
        self._server_id = ""
        self._is_same_server = True
        self._connection: PubSubConnection | None = None

    def subscribe(self, channel: str, user: str) -> _Channel:
        """Subscribe without waiting for Redis."""
        with self._lock:
            entry = self._channels.get(channel)
            if entry is None:
                entry = self._channels[channel] = _Channel()
                metrics.FANOUT_ROOMS.set(len(self._channels) - 1)  # without the control channel
                self._unconfirmed.append(entry)
                self._send("SUBSCRIBE", [channel])
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
            metrics.FANOUT_ROOMS.set(len(self._channels) - 1)
            self._send("UNSUBSCRIBE", [channel])
            return True

    def run(self) -> None:
        """Listen for ever. Reconnects after every loss, with a growing, jittered delay."""
        failures = 0
        while True:
            try:
                connection = self._open()
                while True:
                    self._handle_replies(connection.read())
                    failures = 0
            except CONNECTION_ERRORS as error:
                failures += 1
                with self._lock:
                    lost, self._connection = self._connection, None
                    for channel, entry in self._channels.items():
                        if entry.confirmed.is_set():
                            entry.confirmed.clear()
                            self._missed.add(channel)
                if lost is not None:
                    lost.close()
                metrics.SUBSCRIBER_LOSSES.inc()
                logger.warning("subscriber.lost", extra={"error": str(error), "channels": len(self._channels)})
                limit = min(MAX_BACKOFF_SECONDS, MIN_BACKOFF_SECONDS * 2 ** min(failures, 10))
                runtime.sleep(random.uniform(limit / 2, limit))  # noqa: S311 - jitter

    def _open(self) -> PubSubConnection:
        connection = PubSubConnection(self._url)
        self._is_same_server &= self._server_id in ("", connection.server_id)
        self._server_id = connection.server_id
        with self._lock:
            self._connection = connection
            self._unconfirmed = deque(self._channels.values())
            self._send("SUBSCRIBE", list(self._channels))
            self._send("PING", [RESTORED])
        return connection

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
                self._unconfirmed.popleft().confirmed.set()
            elif kind == b"pong" and reply[1] == RESTORED.encode():
                missed, self._missed = self._missed, set()
                logger.info("subscriber.connected", extra={"channels": len(self._channels), "missed": len(missed)})
                if missed:
                    self._on_restored(missed, self._is_same_server)
                self._is_same_server = True
        try:
            self._on_batch(batch)
        except Exception:  # a message that cannot be handled must not end the listener
            metrics.FANOUT_FAILURES.inc()
            logger.exception("fanout.failed")
