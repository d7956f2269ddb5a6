"""One Redis connection for all script calls of a process.

It replaces redis-py's connection pool for the scripts: the pool's `get_connection` took 11 % of a progress request's
time. Concurrent calls are pipelined on one connection, and a single call does without the pool. The first waiting
caller reads the replies of all others; when its own has arrived, the next waiting caller goes on reading.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hiredis
import redis
from redis.connection import DefaultParser

from app.core.concurrency import wait_in_steps

READ_BYTES = 64 * 1024
WAIT_SECONDS = 5


@dataclass(slots=True, eq=False)
class _Call:
    reply: Any = None
    error: Exception | None = None
    done: bool = False
    is_reader: bool = False
    wake: threading.Event | None = None


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
        reply = self._send_and_wait(hiredis.pack_command(command))
        if isinstance(reply, hiredis.ReplyError):
            raise DefaultParser.parse_error(str(reply))  # type: ignore[no-untyped-call]
        return reply

    def _send_and_wait(self, packed: bytes) -> Any:
        own = _Call()
        with self._lock:
            if self._broken is not None:
                raise self._broken
            own.is_reader = not self._has_reader
            if not own.is_reader:
                own.wake = threading.Event()  # before the reader can find this call
            self._has_reader = True
            self._waiting.append(own)  # before its reply can come
            try:
                self._socket.sendall(packed)
            except OSError as error:
                self._close(redis.ConnectionError(f"Redis is out of reach: {error}"))
        if own.wake is not None and not wait_in_steps(own.wake.wait, WAIT_SECONDS):
            self.fail(redis.TimeoutError("Redis did not answer in time."))
        if own.is_reader and not own.done:
            self._read_for(own)
        if own.error is not None:
            raise own.error
        return own.reply

    def _read_for(self, own: _Call) -> None:
        """Read until this call's reply has arrived, then make the next waiting call the reader."""
        try:
            while not own.done:
                self._take_replies(own)
        except TimeoutError:  # reading again would wait as long again
            self.fail(redis.TimeoutError("Redis did not answer in time."))
            return
        except (OSError, EOFError, hiredis.HiredisError) as error:
            self.fail(redis.ConnectionError(f"Redis is out of reach: {error}"))
            return
        with self._lock:
            self._has_reader = bool(self._waiting)
            if self._waiting:
                self._waiting[0].is_reader = True
                _wake(self._waiting[0])

    def _take_replies(self, own: _Call) -> None:
        data = self._socket.recv(READ_BYTES)
        if not data:
            raise EOFError("connection closed")
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if not self._waiting:
                raise EOFError("given up meanwhile")  # another call has timed out and broken the connection
            call = self._waiting.popleft()
            call.reply, call.done = reply, True
            if call is not own:
                _wake(call)

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
            call.error, call.done = self._broken, True
            _wake(call)


def _wake(call: _Call) -> None:
    if call.wake is not None:
        call.wake.set()
