"""The open connections of this process: whose they are, which room they are in, and the limits on them."""

from collections import Counter
from dataclasses import dataclass, field

from app.auth.tokens import Principal
from app.config import Config
from app.errors import TooManyRequests


@dataclass
class Connection:
    """One Socket.IO connection; in at most one protocol's room, of which `room` names the view it has."""

    sid: str
    principal: Principal
    address: str
    events_per_second: int
    protocol_id: str | None = None
    room: str | None = None
    _second: int = field(default=0, repr=False)
    _events: int = field(default=0, repr=False)

    @property
    def name(self) -> str:
        """Who this is in logs: the token's subject and its id, never the token."""
        return f"{self.principal.subject}/{self.principal.token_id}"

    def count_event(self, now: float) -> None:
        """Raises TooManyRequests beyond the limit of client events in this second."""
        if int(now) != self._second:
            self._second, self._events = int(now), 0
        self._events += 1
        if self._events > self.events_per_second:
            raise TooManyRequests(f"More than {self.events_per_second} events in a second.")


class Connections:
    """Sid → connection."""

    def __init__(self, settings: Config) -> None:
        self._settings = settings
        self._open: dict[str, Connection] = {}
        self._per_token: Counter[str] = Counter()

    @property
    def count(self) -> int:
        return len(self._open)

    def open(self, sid: str, principal: Principal, address: str) -> Connection:
        """Raises TooManyRequests when the token or the process has as many connections as it may."""
        if len(self._open) >= self._settings.sockets_per_process:
            raise TooManyRequests("This server has as many connections as it takes.", code="TOO_MANY_CONNECTIONS")
        if self._per_token[principal.token_id] >= self._settings.sockets_per_token:
            raise TooManyRequests("This token has as many connections as it may.", code="TOO_MANY_CONNECTIONS")
        connection = Connection(sid, principal, address, self._settings.client_events_per_second)
        self._open[sid] = connection
        self._per_token[principal.token_id] += 1
        return connection

    def get(self, sid: str) -> Connection | None:
        return self._open.get(sid)

    def close(self, sid: str) -> Connection | None:
        connection = self._open.pop(sid, None)
        if connection:
            token_id = connection.principal.token_id
            self._per_token[token_id] -= 1
            if not self._per_token[token_id]:
                del self._per_token[token_id]
        return connection

    def expired(self, now: float) -> list[Connection]:
        return [each for each in self._open.values() if each.principal.expires_at <= now]

    def all(self) -> list[Connection]:
        return list(self._open.values())
