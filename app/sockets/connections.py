"""The open connections of this process: their principal, their room, and the limits on them.

Each process publishes how many it has, so that those of all web processes are counted together; a dead process stops
counting within 15 s.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from flask import current_app

from app.auth.tokens import Principal
from app.config import Config
from app.core.concurrency import RateCounter
from app.core.errors import TooManyConnections, TooManyRequests
from app.core.extensions import redis_client
from app.http.rate_limits import address_key
from app.observability import metrics, process_registry

if TYPE_CHECKING:  # it imports eventlet
    from app.realtime.fanout.event_stream import EventStream

FLOOD_FACTOR = 20
SHARED_FROM = 0.01  # of the limit
PRESENCE_SECONDS = 15


@dataclass
class Connection:
    """One Socket.IO connection or event stream, in at most one protocol's room; `room` names that of its view."""

    sid: str
    principal: Principal
    address: str
    events_per_second: int
    protocol_id: str | None = None
    room: str | None = None
    is_busy: bool = False
    stream: "EventStream | None" = None
    _events: RateCounter = field(default_factory=RateCounter, repr=False)

    @property
    def name(self) -> str:
        """The connection's name in logs: the token's subject and id, never the token."""
        return f"{self.principal.subject}/{self.principal.token_id}"

    @property
    def is_flooding(self) -> bool:
        """Whether it is so far beyond its limit that even refusals cost too much."""
        return self._events.count > FLOOD_FACTOR * self.events_per_second

    def count_event(self, now: float) -> None:
        """Raises TooManyRequests beyond the limit of events in a second."""
        if self._events.add(now) > self.events_per_second:
            raise TooManyRequests(f"More than {self.events_per_second} events in a second.")


class Connections:
    """Connections by sid, counted by `token {id}` and `address {network}`.

    `elsewhere` has the same counts of the other web processes, where they are crowded.
    """

    def __init__(self, settings: Config) -> None:
        self._settings = settings
        self._limits = {"token": settings.sockets_per_token, "address": settings.sockets_per_address}
        self._open: dict[str, Connection] = {}
        self._streams = 0
        self._here: Counter[str] = Counter()
        self.elsewhere: Counter[str] = Counter()
        self.ended: list[Any] = []  # Engine.IO connections to be closed unless their client closes them first
        self.unauthenticated: dict[str, float] = {}  # Engine.IO connections by when they were first seen

    @property
    def count(self) -> int:
        return len(self._open)

    def open(self, sid: str, principal: Principal, address: str, stream: "EventStream | None" = None) -> Connection:
        """Raises TooManyRequests when the token, the address or the process has reached its limit."""
        self._refuse("process", self.count >= self._settings.sockets_per_process)
        connection = Connection(sid, principal, address, self._settings.client_events_per_second, stream=stream)
        for key in _keys(connection):
            self._check(key)
        self._open[sid] = connection
        self._here.update(_keys(connection))
        self._count(connection, 1)
        return connection

    def _check(self, key: str) -> None:
        kind = key.partition(" ")[0]
        self._refuse(kind, self._here[key] + self.elsewhere[key] >= self._limits[kind])

    def _refuse(self, kind: str, is_full: bool) -> None:
        if is_full:
            metrics.LIMITED.labels(f"sockets per {kind}").inc()
            raise TooManyConnections(f"This {kind} has reached its limit of connections.")

    def crowded(self) -> dict[str, int]:
        """Tokens and addresses with enough connections here that the other processes must count them too."""
        shared_from = {kind: limit * SHARED_FROM for kind, limit in self._limits.items()}
        return {key: present for key, present in self._here.items() if present >= shared_from[key.partition(" ")[0]]}

    def get(self, sid: str) -> Connection | None:
        return self._open.get(sid)

    def close(self, sid: str) -> Connection | None:
        connection = self._open.pop(sid, None)
        if connection:
            self._count_down(_keys(connection))
            self._count(connection, -1)
        return connection

    def _count(self, connection: Connection, change: int) -> None:
        self._streams += change if connection.stream is not None else 0
        metrics.STREAMS.set(self._streams)
        metrics.SOCKETS.set(self.count - self._streams)

    def renew(self, connection: Connection, principal: Principal) -> None:
        """Continue the connection with another token. Raises TooManyRequests when that has reached its limit."""
        if principal.token_id != connection.principal.token_id:
            self._check(f"token {principal.token_id}")
        self._count_down(_keys(connection))
        connection.principal = principal
        self._here.update(_keys(connection))

    def _count_down(self, keys: tuple[str, str]) -> None:
        for key in keys:
            self._here[key] -= 1
            if not self._here[key]:
                del self._here[key]

    def all(self) -> list[Connection]:
        return list(self._open.values())

    def announce(self) -> None:
        """Publish the connections by protocol and the crowded tokens and addresses; read the other processes' crowds.

        Raises redis.RedisError.
        """
        present: dict[Any, int] = Counter(each.protocol_id for each in self.all() if each.protocol_id)
        published: dict[str, dict[Any, int]] = {"presence:": present, "crowded:": self.crowded()}
        with redis_client().pipeline() as pipe:
            for prefix, counts in published.items():
                key = prefix + process_registry.unique_id()
                pipe.delete(key)
                if counts:
                    pipe.hset(key, mapping=counts)
                    pipe.expire(key, PRESENCE_SECONDS)
            pipe.execute()
        process_registry.announce("web", ("web",))
        self.elsewhere = _sum("crowded:", without=process_registry.unique_id())


def connections() -> Connections:
    """The connections of this web process."""
    return cast(Connections, current_app.extensions["connections"])


def connections_by_protocol() -> dict[str, int]:
    """Open connections by protocol, summed over all live web processes. Raises redis.RedisError."""
    return dict(_sum("presence:"))


def _sum(prefix: str, without: str = "") -> Counter[str]:
    """The counts that the live web processes have published under this prefix, summed."""
    web = [each.unique_id for each in process_registry.known() if each.kind == "web" and not each.is_silent]
    total: Counter[str] = Counter()
    with redis_client().pipeline(transaction=False) as pipe:
        for process in web:
            if process != without:
                pipe.hgetall(prefix + process)
        for counts in pipe.execute():
            total.update({name.decode(): int(count) for name, count in counts.items()})
    return total


def _keys(connection: Connection) -> tuple[str, str]:
    return f"token {connection.principal.token_id}", f"address {address_key(connection.address)}"
