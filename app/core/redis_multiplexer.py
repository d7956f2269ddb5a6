"""One Redis connection for all script calls of a process.

It replaces redis-py's connection pool for the scripts: the pool's `get_connection` took 11 % of a progress request's
time. Concurrent calls are pipelined on one connection, and a single call does without the pool. The first waiting
caller reads the replies of all others; when its own has arrived, the next waiting caller goes on reading.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, cast

import hiredis
import redis
from redis.connection import DefaultParser

from app.core.concurrency import wait_in_steps

READ_BYTES = 64 * 1024
WAIT_SECONDS = 5


@dataclass(slots=True, eq=False)
class _Call:
    """Commands that were sent together, and the replies that have come so far."""

    count: int
    replies: list[Any] = field(default_factory=list)
    error: redis.RedisError | None = None
    is_done: bool = False
    wake: "threading.Lock | None" = None  # released to wake its caller, if that waits for somebody else's reading


class SentCommands(NamedTuple):
    """Commands whose replies can be waited for, after others have been sent to other servers."""

    connection: "_Connection"
    call: _Call

    def wait(self) -> list[Any]:
        """The replies in the order of the commands; an error is a redis.RedisError in its place."""
        try:
            return self.connection.wait(self.call)
        except redis.RedisError as error:
            return [error] * self.call.count


class RedisMultiplexer:
    """May be called from any thread or greenlet; replies come in the order of the commands.

    `prepare` is given the `call` of each new connection before anybody else uses it.
    """

    def __init__(
        self, client: Callable[[], redis.Redis], prepare: Callable[[Callable[..., Any]], None] | None = None
    ) -> None:
        self._client = client
        self._prepare = prepare
        self._lock = threading.Lock()
        self._current: _Connection | None = None

    def call(self, *command: Any) -> Any:
        """Send one command and return its reply. Raises redis.RedisError; a broken connection fails all calls."""
        connection = self._current
        if connection is None or not connection.is_usable():
            connection = self._reconnect()
        return connection.call(*command)

    def send(self, commands: Sequence[Sequence[Any]]) -> SentCommands:
        """Send commands in one piece without waiting for the replies. Raises redis.RedisError."""
        connection = self._current
        if connection is None or not connection.is_usable():
            connection = self._reconnect()
        return SentCommands(connection, connection.send(commands))

    def close_if_idle(self) -> bool:
        """Close the connection unless a call waits; the next call opens another. Returns whether it is closed."""
        return self._current is None or self._current.close_if_idle()

    def is_connected(self) -> bool:
        """Whether there is a connection, which no call has found broken."""
        return self._current is not None and self._current.is_usable()

    def _reconnect(self) -> "_Connection":
        with self._lock:
            if self._current is None or not self._current.is_usable():
                connection = _Connection(self._client().connection_pool)
                if self._prepare is not None:
                    try:
                        self._prepare(connection.call)
                    except redis.RedisError as error:
                        connection.fail(error)  # also returns the connection to its pool
                        raise
                self._current = connection
            return self._current


class _Connection:
    """One open connection and its waiting calls; a broken one is never repaired."""

    def __init__(self, pool: redis.ConnectionPool) -> None:
        self._pool = pool
        self._redis: Any = pool.get_connection()
        self._socket: Any = self._redis._sock  # noqa: SLF001 - guarded by the fan-out's contract test
        self._reader = hiredis.Reader()
        self._lock = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._has_reader = False
        self._broken: redis.RedisError | None = None
        self._process = os.getpid()

    def is_usable(self) -> bool:
        """False once broken, and in a forked child: the parent's connection is not the child's."""
        return self._broken is None and self._process == os.getpid()

    def call(self, *command: Any) -> Any:
        own = _Call(1)
        with self._lock:
            self._send(hiredis.pack_command(command), own)
            self._join(own)
        reply = self._await(own)[0]
        if isinstance(reply, redis.RedisError):
            raise reply
        return reply

    def send(self, commands: Sequence[Sequence[Any]]) -> _Call:
        own = _Call(len(commands))
        packed = b"".join(hiredis.pack_command(tuple(command)) for command in commands)
        with self._lock:
            self._send(packed, own)
        return own

    def wait(self, own: _Call) -> list[Any]:
        with self._lock:
            self._join(own)
        return self._await(own)

    def _send(self, packed: bytes, own: _Call) -> None:
        """Needs the lock."""
        if self._broken is not None:
            raise self._broken
        self._waiting.append(own)  # before its reply can come
        try:
            self._socket.sendall(packed)
        except OSError as error:
            self._close(redis.ConnectionError(f"Redis is out of reach: {error}"))

    def _join(self, own: _Call) -> None:
        """Make a call the reader, or let it wait for the present one; needs the lock."""
        if not own.is_done:
            if self._has_reader:
                wake = threading.Lock()  # with eventlet an Event takes twice as long
                wake.acquire()
                own.wake = wake
                if own.is_done:  # since: the reader does not hold the lock
                    _wake(own)
            self._has_reader = True

    def _await(self, own: _Call) -> list[Any]:
        if own.wake is not None and not wait_in_steps(partial(own.wake.acquire, True), WAIT_SECONDS):
            self.fail(redis.TimeoutError("Redis did not answer in time."))
        if not own.is_done:  # this call is the reader, from the start or woken by the last one
            self._read_for(own)
        if own.error is not None:
            raise own.error
        return own.replies

    def _read_for(self, own: _Call) -> None:
        """Read until this call's replies have arrived, then make the next waiting call the reader."""
        try:
            while not own.is_done:
                self._take_replies(own, self._receive())
        except TimeoutError:
            self.fail(redis.TimeoutError("Redis did not answer in time."))
            return
        except (OSError, EOFError, hiredis.HiredisError) as error:
            self.fail(redis.ConnectionError(f"Redis is out of reach: {error}"))
            return
        with self._lock:
            following = next((call for call in self._waiting if call.wake is not None), None)
            self._has_reader = following is not None
            if following is not None:
                _wake(following)

    def _receive(self) -> bytes:
        """Wait for replies. Raises OSError, TimeoutError among them.

        A process that did not get the CPU for a while finds its time over although they have come (`wait_in_steps`).
        """
        try:
            return cast(bytes, self._socket.recv(READ_BYTES))
        except TimeoutError as error:
            seconds = self._socket.gettimeout()
            self._socket.settimeout(0)
            try:
                return cast(bytes, self._socket.recv(READ_BYTES))
            except OSError:
                raise error from None
            finally:
                self._socket.settimeout(seconds)

    def _take_replies(self, own: _Call, data: bytes) -> None:
        if not data:
            raise EOFError("connection closed")
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if not self._waiting:
                raise EOFError("given up meanwhile")  # another call has timed out and broken the connection
            call = self._waiting[0]
            if isinstance(reply, hiredis.ReplyError):
                reply = DefaultParser.parse_error(str(reply))  # type: ignore[no-untyped-call]
            call.replies.append(reply)
            if len(call.replies) == call.count:
                self._waiting.popleft()
                call.is_done = True
                if call is not own:
                    _wake(call)

    def close_if_idle(self) -> bool:
        with self._lock:
            if not self._waiting:
                self._close(redis.ConnectionError("The connection to Redis was closed."))
            return self._broken is not None

    def fail(self, error: redis.RedisError) -> None:
        with self._lock:
            self._close(error)

    def _close(self, error: redis.RedisError) -> None:
        """Close the connection and fail all waiting calls; needs the lock."""
        if self._broken is None:
            self._broken = error
            self._redis.disconnect()
            self._pool.release(self._redis)
        while self._waiting:
            call = self._waiting.popleft()
            call.error, call.is_done = self._broken, True
            _wake(call)


def _wake(call: _Call) -> None:
    if call.wake is not None:
        with suppress(RuntimeError):  # it was woken before
            call.wake.release()
