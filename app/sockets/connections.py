"""The open connections of this process: their principal, their room, and the limits on them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from flask import current_app

from app.auth.tokens import Principal
from app.config import Config
from app.core.concurrency import RateCounter
from app.core.errors import TooManyRequests
from app.http.rate_limits import address_key
from app.observability import metrics

FLOOD_FACTOR = 20
SHARED_FROM = 0.01  # of the limit


@dataclass
class Connection:
    """One Socket.IO connection, in at most one protocol's room; `room` names the Socket.IO room of its view."""

    sid: str
    principal: Principal
    address: str
    events_per_second: int
    protocol_id: str | None = None
    room: str | None = None
    is_busy: bool = False
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
    """Connections by sid. `elsewhere` counts those of crowded tokens and addresses in the other web processes."""

    def __init__(self, settings: Config) -> None:
        self._settings = settings
        self._open: dict[str, Connection] = {}
        self._per_token: Counter[str] = Counter()
        self._per_address: Counter[str] = Counter()
        self.elsewhere: Counter[str] = Counter()
        self.ended: list[Any] = []  # Engine.IO connections to be closed unless their client closes them first

    @property
    def count(self) -> int:
        return len(self._open)

    def open(self, sid: str, principal: Principal, address: str) -> Connection:
        """Raises TooManyRequests when the token, the address or the process has reached its limit."""
        settings, network = self._settings, address_key(address)
        self._check("process", len(self._open), settings.sockets_per_process)
        self._check_token(principal.token_id)
        present = self._per_address[network] + self.elsewhere[f"address {network}"]
        self._check("address", present, settings.sockets_per_address)
        connection = Connection(sid, principal, address, settings.client_events_per_second)
        self._open[sid] = connection
        self._per_token[principal.token_id] += 1
        self._per_address[network] += 1
        return connection

    def _check_token(self, token_id: str) -> None:
        present = self._per_token[token_id] + self.elsewhere[f"token {token_id}"]
        self._check("token", present, self._settings.sockets_per_token)

    def crowded(self) -> dict[str, int]:
        """Tokens and addresses with enough connections here that the other processes must count them too."""
        kinds = (
            ("token", self._per_token, self._settings.sockets_per_token),
            ("address", self._per_address, self._settings.sockets_per_address),
        )
        return {
            f"{kind} {key}": present
            for kind, counter, limit in kinds
            for key, present in counter.items()
            if present >= limit * SHARED_FROM
        }

    def _check(self, kind: str, present: int, limit: int) -> None:
        if present >= limit:
            metrics.LIMITED.labels(f"sockets per {kind}").inc()
            raise TooManyRequests(f"This {kind} has reached its limit of connections.", code="TOO_MANY_CONNECTIONS")

    def get(self, sid: str) -> Connection | None:
        return self._open.get(sid)

    def close(self, sid: str) -> Connection | None:
        connection = self._open.pop(sid, None)
        if connection:
            _count_down(self._per_token, connection.principal.token_id)
            _count_down(self._per_address, address_key(connection.address))
        return connection

    def renew(self, connection: Connection, principal: Principal) -> None:
        """Continue the connection with another token. Raises TooManyRequests when that has reached its limit."""
        if principal.token_id != connection.principal.token_id:
            self._check_token(principal.token_id)
        _count_down(self._per_token, connection.principal.token_id)
        self._per_token[principal.token_id] += 1
        connection.principal = principal

    def where(self, condition: Callable[[Connection], bool]) -> list[Connection]:
        return [each for each in self._open.values() if condition(each)]

    def all(self) -> list[Connection]:
        return list(self._open.values())


def connections() -> Connections:
    """The connections of this web process."""
    return cast(Connections, current_app.extensions["connections"])


def _count_down(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
