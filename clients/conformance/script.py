"""What the scripted server was asked, and what it answers instead of its usual answer."""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt

from clients.conformance.room import PROTOCOL

KINDS = ("connect", "state", "stream", "reports", "file", "renew", "other")
AGENT = "A1"
TTL_SECONDS = 3600
POLL_SECONDS = 0.1
Answer = dict[str, Any]


@dataclass
class Exchange:
    """A request, of one of KINDS, and when and how it was answered; times by the monotonic clock."""

    kind: str
    token: str | None
    headers: Mapping[str, str]
    path: str = ""
    body: Any = None
    state: Any = None  # the room's state before the request was noted
    at: float = field(default_factory=time.monotonic)
    answered_at: float | None = None
    status: int | None = None
    retry_after: float = 0.0


class Record:
    """All exchanges of a case; `wait` returns when a condition on them, or on what else was noted, holds."""

    def __init__(self) -> None:
        self._exchanges: list[Exchange] = []
        self._changed = threading.Condition()

    def add(self, exchange: Exchange) -> Exchange:
        with self._changed:
            self._exchanges.append(exchange)
            self._changed.notify_all()
        return exchange

    def note(self, change: Callable[[], Any] = lambda: None) -> None:
        """Make a change that somebody may wait for."""
        with self._changed:
            change()
            self._changed.notify_all()

    def of(self, *kinds: str) -> list[Exchange]:
        return [each for each in list(self._exchanges) if not kinds or each.kind in kinds]

    def wait(self, condition: Callable[[], Any], seconds: float) -> Any:
        """The condition's first true result, or its last false one after `seconds`."""
        end = time.monotonic() + seconds
        with self._changed:
            while not (found := condition()) and time.monotonic() < end:
                self._changed.wait(POLL_SECONDS)  # not all that a condition reads is noted here
        return found


class Answers:
    """The answers that are planned for the next requests of each kind; without any, the usual one is given."""

    def __init__(self) -> None:
        self._next: dict[str, deque[Answer]] = defaultdict(deque)
        self._lock = threading.Lock()

    def plan(self, kind: str, answer: Answer, times: int) -> None:
        with self._lock:
            self._next[kind].extend([answer] * times)

    def take(self, kind: str) -> Answer:
        with self._lock:
            planned = self._next[kind]
            return planned.popleft() if planned else {}


class Tokens:
    """JSON Web Tokens by short names, such as T1; the server accepts all of them until `accept` names some."""

    def __init__(self, role: str) -> None:
        self._role = "agent" if role == "agent" else "viewer"
        self._known: dict[str, str] = {}
        self._accepted: set[str] | None = None

    def token(self, name: str, ttl: float = TTL_SECONDS) -> str:
        if name not in self._known:
            now = int(time.time())
            claims = {"sub": AGENT, "role": self._role, "protocols": [PROTOCOL], "jti": name}
            key = "the scripted server does not verify signatures"
            self._known[name] = jwt.encode(claims | {"iat": now, "exp": now + int(ttl)}, key, algorithm="HS256")
        return self._known[name]

    def accept(self, *names: str) -> None:
        self._accepted = {self.token(name) for name in names}

    def is_known(self, token: str | None) -> bool:
        return token in self._known.values()

    def is_accepted(self, token: str | None) -> bool:
        return self.is_known(token) and (self._accepted is None or token in self._accepted)

    def name_of(self, token: str | None) -> str | None:
        return next((name for name, known in self._known.items() if known == token), None)
