"""One open pub/sub connection, read in batches: all messages of one `recv`."""

from typing import Any

import hiredis
import redis

from app.core.redis_connection import connect_redis

READ_BYTES = 256 * 1024
PING_AFTER_SECONDS = 2.0
MAX_UNANSWERED_PINGS = 3
CHANNELS_PER_COMMAND = 1000


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
        self.server_id = self._read_server_id()
        self._reader = hiredis.Reader()
        self._unanswered_pings = 0

    def _read_server_id(self) -> str:
        """The id of the running server process; empty where INFO is not permitted."""
        try:
            self._connection.send_command("INFO", "server")
            lines = self._connection.read_response().decode().splitlines()
        except redis.ResponseError:
            return ""
        return next((line.partition(":")[2] for line in lines if line.startswith("run_id:")), "")

    def send(self, command: str, *arguments: str) -> None:
        """Send a command, split into several where there are many channels."""
        for start in range(0, max(len(arguments), 1), CHANNELS_PER_COMMAND):
            part = arguments[start : start + CHANNELS_PER_COMMAND]
            self._socket.sendall(b"".join(self._connection.pack_command(command, *part)))

    def read(self) -> list[Any]:
        """Wait for input and return all complete replies, possibly none."""
        try:
            data = self._socket.recv(READ_BYTES)
        except TimeoutError:
            self._ping()
            return []
        if not data:
            raise redis.ConnectionError("Redis closed the pub/sub connection.")
        self._unanswered_pings = 0
        self._reader.feed(data)
        return list(self._replies())

    def close(self) -> None:
        """May be called from any greenlet; wakes a reader blocked in `read`."""
        self._connection.disconnect()

    def _ping(self) -> None:
        self._unanswered_pings += 1
        if self._unanswered_pings > MAX_UNANSWERED_PINGS:
            raise redis.ConnectionError("Redis does not answer on the pub/sub connection.")
        self.send("PING")

    def _replies(self) -> Any:
        while (reply := self._reader.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                raise redis.ResponseError(str(reply))
            yield reply
