"""One open pub/sub connection, read in batches: everything that one `recv` brought."""

from typing import Any

import hiredis
import redis

from app.core.redis_connection import connect_redis

READ_BYTES = 256 * 1024
QUIET_SECONDS = 2.0
QUIET_LIMIT = 3
CHANNELS_PER_COMMAND = 1000


class PubSubConnection:
    """A connection that redis-py opened (address, login, Sentinel), then read and written by hand.

    One greenlet reads; writers agree among themselves. A silent connection is asked for a sign of life, so
    that a half-open one is noticed. All methods raise redis.RedisError or OSError when the connection is lost.
    """

    def __init__(self, url: str) -> None:
        self._pool = connect_redis(url, blocking=True).connection_pool
        connection: Any = self._pool.get_connection()
        self._connection = connection
        self._socket = connection._sock  # noqa: SLF001 - guarded by the contract test
        self._socket.settimeout(QUIET_SECONDS)
        self.server_id = self._ask_for_server_id()
        self._reader = hiredis.Reader()
        self._quiet = 0

    def _ask_for_server_id(self) -> str:
        """The running server's own id, a new one at each start; empty where it is not told."""
        try:
            self._connection.send_command("INFO", "server")
            lines = self._connection.read_response().decode().splitlines()
        except redis.ResponseError:
            return ""
        return next((line.partition(":")[2] for line in lines if line.startswith("run_id:")), "")

    def send(self, command: str, *arguments: str) -> None:
        """Send one command, cut into several where there are many channels."""
        for start in range(0, max(len(arguments), 1), CHANNELS_PER_COMMAND):
            some = arguments[start : start + CHANNELS_PER_COMMAND]
            self._socket.sendall(b"".join(self._connection.pack_command(command, *some)))

    def read(self) -> list[Any]:
        """Wait for the next read and return all replies that are complete; now and then none."""
        try:
            data = self._socket.recv(READ_BYTES)
        except TimeoutError:
            self._ping()
            return []
        if not data:
            raise redis.ConnectionError("Redis closed the pub/sub connection.")
        self._quiet = 0
        self._reader.feed(data)
        return list(self._replies())

    def close(self) -> None:
        """Close from any greenlet; a reader blocked in `read` wakes up."""
        self._connection.disconnect()

    def _ping(self) -> None:
        self._quiet += 1
        if self._quiet > QUIET_LIMIT:
            raise redis.ConnectionError("Redis does not answer on the pub/sub connection.")
        self.send("PING")

    def _replies(self) -> Any:
        while (reply := self._reader.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                raise redis.ResponseError(str(reply))
            yield reply
