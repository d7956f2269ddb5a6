"""The open connections of this process: whose they are, which room they are in, and the limits on them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from flask import current_app

from app.auth.tokens import Principal
from app.config import Config
from app.core.errors import TooManyRequests
from app.core.rate_counter import RateCounter
from app.http.rate_limits import address_key
from app.observability import metrics

FLOOD_FACTOR = 20
TOLD_FROM = 0.01  # of its limit


@dataclass
class Connection:
    """One Socket.IO connection; in at most one protocol's room, of which `room` names the view it has."""

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
        """Who this is in logs: the token's subject and its id, never the token."""
        return f"{self.principal.subject}/{self.principal.token_id}"

    @property
    def floods(self) -> bool:
        """Sends so far beyond its limit that even refusing is too much work."""
        return self._events.count > FLOOD_FACTOR * self.events_per_second

    def count_event(self, now: float) -> None:
        """Raises TooManyRequests beyond the limit of client events in this second."""
        if self._events.add(now) > self.events_per_second:
            raise TooManyRequests(f"More than {self.events_per_second} events in a second.")


class Connections:
    """Sid → connection. `elsewhere`: what the other web processes told of tokens and addresses with many of them."""

    def __init__(self, settings: Config) -> None:
        self._settings = settings
        self._open: dict[str, Connection] = {}
        self._per_token: Counter[str] = Counter()
        self._per_address: Counter[str] = Counter()
        self.elsewhere: Counter[str] = Counter()

    @property
    def count(self) -> int:
        return len(self._open)

    def open(self, sid: str, principal: Principal, address: str) -> Connection:
        """Raises TooManyRequests when the token, the address or the process has as many connections as it may."""
        settings, place = self._settings, address_key(address)
        self._check("process", len(self._open), settings.sockets_per_process)
        self._check_token(principal.token_id)
        present = self._per_address[place] + self.elsewhere[f"address {place}"]
        self._check("address", present, settings.sockets_per_address)
        connection = Connection(sid, principal, address, settings.client_events_per_second)
        self._open[sid] = connection
        self._per_token[principal.token_id] += 1
        self._per_address[place] += 1
        return connection

    def _check_token(self, token_id: str) -> None:
        present = self._per_token[token_id] + self.elsewhere[f"token {token_id}"]
        self._check("token", present, self._settings.sockets_per_token)

    def near_limit(self) -> dict[str, int]:
        """Tokens and addresses with so many connections here that other processes should count them too."""
        kinds = (
            ("token", self._per_token, self._settings.sockets_per_token),
            ("address", self._per_address, self._settings.sockets_per_address),
        )
        return {
            f"{kind} {key}": present
            for kind, counter, most in kinds
            for key, present in counter.items()
            if present >= most * TOLD_FROM
        }

    def _check(self, what: str, present: int, most: int) -> None:
        if present >= most:
            metrics.LIMITED.labels(f"sockets per {what}").inc()
            raise TooManyRequests(f"This {what} has as many connections as it may.", code="TOO_MANY_CONNECTIONS")

    def get(self, sid: str) -> Connection | None:
        return self._open.get(sid)

    def close(self, sid: str) -> Connection | None:
        connection = self._open.pop(sid, None)
        if connection:
            _count_down(self._per_token, connection.principal.token_id)
            _count_down(self._per_address, address_key(connection.address))
        return connection

    def renew(self, connection: Connection, principal: Principal) -> None:
        """Let the connection go on under another token. Raises TooManyRequests when that has as many as it may."""
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
    """The running web process's."""
    return cast(Connections, current_app.extensions["connections"])


def _count_down(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
