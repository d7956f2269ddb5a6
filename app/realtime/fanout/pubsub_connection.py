"""Pub/sub connections to Redis servers, whose sockets are read and written directly."""

import random
from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

import hiredis
import redis
from redis.connection import DefaultParser
from redis.crc import key_slot

from app.core import runtime

READ_BYTES = 256 * 1024
PING_AFTER_SECONDS, MAX_UNANSWERED_PINGS = 2.0, 3
MIN_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.05, 1.0
Batch = list[tuple[str, bytes]]
CONNECTION_ERRORS = (redis.RedisError, OSError, EOFError, hiredis.HiredisError)


class PubSubConnection:
    """Opened by redis-py (address, login, TLS, Sentinel).

    One greenlet reads; callers of `send` synchronize among themselves. A silent connection is pinged, which detects
    a half-open one. All methods raise redis.RedisError or OSError when the connection is lost.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        connection: Any = self._pool.get_connection()
        self._connection = connection
        self._socket = connection._sock  # noqa: SLF001 - guarded by the contract test
        self._socket.settimeout(PING_AFTER_SECONDS)
        self._reader = hiredis.Reader()
        self._unanswered_pings = 0
        self._is_closed = False
        try:
            connection.send_command("INFO", "server")
            lines = connection.read_response().decode().splitlines()
        except redis.ResponseError:  # not permitted
            lines = []
        self.server_id = next((line.partition(":")[2] for line in lines if line.startswith("run_id:")), "")

    def send(self, commands: Iterable[tuple[Any, ...]]) -> None:
        self._socket.sendall(b"".join(map(hiredis.pack_command, commands)))

    def read(self) -> list[Any]:
        """Wait for input and return all complete replies, possibly none; error replies as redis.RedisError."""
        try:
            data = self._socket.recv(READ_BYTES)
        except TimeoutError:
            self._unanswered_pings += 1
            if self._unanswered_pings > MAX_UNANSWERED_PINGS:
                raise redis.ConnectionError("Redis does not answer on the pub/sub connection.") from None
            self.send([("PING",)])
            return []
        if not data:
            raise redis.ConnectionError("Redis closed the pub/sub connection.")
        self._unanswered_pings = 0
        self._reader.feed(data)
        replies = []
        while (reply := self._reader.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                reply = DefaultParser.parse_error(str(reply))  # type: ignore[no-untyped-call]
            replies.append(reply)
        return replies

    def close(self) -> None:
        """May be called from any greenlet; wakes a reader blocked in `read`."""
        self._connection.disconnect()
        if not self._is_closed:
            self._is_closed = True
            self._pool.release(self._connection)


class PubSubOwner(Protocol):
    """Who keeps subscriptions on servers."""

    def open(self, server: "PubSubServer") -> PubSubConnection: ...

    def handle_batch(self, batch: Batch) -> None: ...

    def handle_confirmed(self, server: "PubSubServer", channels: list[str]) -> None: ...

    def handle_end(self, server: "PubSubServer", slot: int) -> None: ...

    def handle_error(self, server: "PubSubServer", error: redis.RedisError) -> None: ...

    def handle_loss(self, server: "PubSubServer", error: Exception) -> None: ...


class PubSubServer:
    """A server that channels are subscribed on; its connection is opened again after each loss, until it is retired.

    `leaving` counts the ends of subscriptions that it has yet to confirm; `refused_at` is when it last refused one.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.connection: PubSubConnection | None = None
        self.leaving: Counter[str] = Counter()
        self.refused_at: float | None = None
        self.is_retired = False

    def send(self, command: str, channels: Iterable[str]) -> None:
        """Send a command for each channel. Calls are synchronized by their callers."""
        if self.connection is None:
            return
        try:
            self.connection.send((command, channel) for channel in channels)
        except CONNECTION_ERRORS:
            self.connection.close()  # the reader notices and subscribes to everything again

    @property
    def id(self) -> str:
        return self.connection.server_id if self.connection else ""

    def run(self, owner: "PubSubOwner") -> None:
        """Read until the server is retired. Reconnects after every loss, with a growing, jittered delay."""
        failures = 0
        while not self.is_retired:
            try:
                connection = owner.open(self)
                while True:
                    self._pass_on(connection.read(), owner)
                    failures = 0
            except CONNECTION_ERRORS as error:
                failures += 1
                owner.handle_loss(self, error)
                limit = min(MAX_BACKOFF_SECONDS, MIN_BACKOFF_SECONDS * 2 ** min(failures, 10))
                runtime.sleep(random.uniform(limit / 2, limit))  # noqa: S311 - jitter

    def _pass_on(self, replies: list[Any], owner: "PubSubOwner") -> None:
        batch: Batch = []
        confirmed = []
        for reply in replies:
            if isinstance(reply, redis.RedisError):
                owner.handle_error(self, reply)
            elif isinstance(reply, bytes):
                continue  # a PONG on a connection without subscriptions
            elif reply[0].endswith(b"message"):
                batch.append((reply[1].decode(), reply[2]))
            elif reply[0].endswith(b"unsubscribe"):
                channel = reply[1].decode()
                if self.leaving[channel]:
                    self.leaving[channel] -= 1
                else:
                    owner.handle_end(self, key_slot(channel.encode()))
            elif reply[0].endswith(b"subscribe") and not self.leaving[channel := reply[1].decode()]:
                confirmed.append(channel)
        self.leaving = +self.leaving if self.leaving else self.leaving  # without zeros
        if confirmed:
            owner.handle_confirmed(self, confirmed)
        if batch:
            owner.handle_batch(batch)

    def disconnect(self) -> None:
        lost, self.connection = self.connection, None
        self.leaving.clear()
        if lost is not None:
            lost.close()

    def retire(self) -> None:
        """End `run`: the server owns nothing any more."""
        self.is_retired = True
        if self.connection is not None:
            self.connection.close()
