"""One Redis connection for all script calls of a process: concurrent calls are pipelined, a lone one pays for no pool.

The first caller to wait reads for all who come after it, and hands the reading on when its own reply is there.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
import redis

READ_BYTES = 64 * 1024
WAIT_SECONDS = 5.0


class _Call:
    __slots__ = ("done", "error", "leads", "reply", "wake")

    def __init__(self) -> None:
        self.reply: Any = None
        self.error: Exception | None = None
        self.done = False
        self.leads = False
        self.wake: threading.Event | None = None


class RedisMultiplexer:
    """`call` from any thread or greenlet; replies come in the order of the commands."""

    def __init__(self, client: Callable[[], redis.Redis]) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._line: _Line | None = None

    def call(self, *command: Any) -> Any:
        """Send one command and return its reply. Raises redis.RedisError; a broken connection fails all who wait."""
        packed = hiredis.pack_command(command)
        line = self._line
        if line is None or not line.is_usable():
            line = self._renewed()
        reply = line.ask(packed)
        if isinstance(reply, hiredis.ReplyError):
            raise _reply_error(reply)
        return reply

    def _renewed(self) -> "_Line":
        with self._lock:
            if self._line is None or not self._line.is_usable():
                self._line = _Line(self._client().connection_pool)
            return self._line


class _Line:
    """One open connection and who waits on it; once broken it stays so."""

    def __init__(self, pool: redis.ConnectionPool) -> None:
        self._pool = pool
        self._connection: Any = pool.get_connection()
        self._socket: Any = self._connection._sock  # noqa: SLF001 - guarded by the fan-out's contract test
        self._reader = hiredis.Reader()
        self._lock = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._is_read = False
        self._broken: redis.RedisError | None = None
        self._process = os.getpid()

    def is_usable(self) -> bool:
        """False once broken, and in a forked child: the parent's connection is not the child's."""
        return self._broken is None and self._process == os.getpid()

    def ask(self, packed: bytes) -> Any:
        mine = _Call()
        with self._lock:
            if self._broken is not None:
                raise self._broken
            mine.leads = not self._is_read
            if not mine.leads:
                mine.wake = threading.Event()  # before the reader can find this call
            self._is_read = True
            self._waiting.append(mine)  # before its reply can come
            self._send(packed)
        if mine.wake is not None and not mine.wake.wait(WAIT_SECONDS):
            self._break(redis.TimeoutError("Redis did not answer in time."))
        if mine.leads and not mine.done:
            self._read_for(mine)
        if mine.error is not None:
            raise mine.error
        return mine.reply

    def _send(self, packed: bytes) -> None:
        try:
            self._socket.sendall(packed)
        except OSError as error:
            self._abandon(redis.ConnectionError(f"Redis is out of reach: {error}"))

    def _read_for(self, mine: _Call) -> None:
        """Read until this call's reply is there, then let the next one who waits read."""
        try:
            while not mine.done:
                self._take_replies(mine)
        except TimeoutError:  # asking again would wait as long again
            self._break(redis.TimeoutError("Redis did not answer in time."))
            return
        except (OSError, EOFError, hiredis.HiredisError) as error:
            self._break(redis.ConnectionError(f"Redis is out of reach: {error}"))
            return
        with self._lock:
            self._is_read = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                _wake(self._waiting[0])

    def _take_replies(self, mine: _Call) -> None:
        data = self._socket.recv(READ_BYTES)
        if not data:
            raise EOFError("connection closed")
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if not self._waiting:
                raise EOFError("given up meanwhile")  # somebody waited too long and broke the line
            call = self._waiting.popleft()
            call.reply, call.done = reply, True
            if call is not mine:
                _wake(call)

    def _break(self, error: redis.RedisError) -> None:
        with self._lock:
            self._abandon(error)

    def _abandon(self, error: redis.RedisError) -> None:
        """Under the lock: close the connection; everyone who waits is told."""
        if self._broken is None:
            self._broken = error
            self._connection.disconnect()
            self._pool.release(self._connection)
        while self._waiting:
            call = self._waiting.popleft()
            call.error, call.done = self._broken, True
            _wake(call)


def _wake(call: _Call) -> None:
    if call.wake is not None:
        call.wake.set()


def _reply_error(error: hiredis.ReplyError) -> redis.RedisError:
    text = str(error)
    if text.startswith("NOSCRIPT"):
        return redis.exceptions.NoScriptError(text)
    if text.startswith("READONLY"):
        return redis.exceptions.ReadOnlyError(text)
    return redis.ResponseError(text)
