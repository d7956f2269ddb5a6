"""What a room needs of its transport, and what the transports share: the pause before a new attempt, the token."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from dashboard_realtime.room.schedule import Schedule
from dashboard_realtime.room.settings import RoomOptions
from dashboard_realtime.tokens import TokenSource

FINAL_CODES = frozenset({"UNAUTHORIZED", "INVALID_PROTOCOL"})
"""Error codes of a connection for which a retry is useless."""


@dataclass(frozen=True)
class Refusal:
    """Why there is no connection or no state. Code UNREACHABLE: no response; SILENT: an open connection without one."""

    code: str
    detail: str


class Listener(Protocol):
    """The room, as its transport sees it."""

    def on_joined(self) -> None: ...
    def on_message(self, event: Mapping[str, Any]) -> None: ...
    def on_state(self, body: Mapping[str, Any]) -> None: ...
    def on_lost(self) -> None: ...
    def on_refused(self, refusal: Refusal) -> None: ...
    def on_silent(self) -> None: ...
    def on_heard(self) -> None: ...


@dataclass(frozen=True)
class Context:
    """What a connection is made from; `protocol_id` of the moment is the connection's own."""

    url: str
    token: TokenSource
    options: RoomOptions
    schedule: Schedule
    http: httpx.AsyncClient
    listener: Listener


class Connection(Protocol):
    """A connection to one room that comes back by itself until it is closed or refused for good."""

    sends_states: bool
    protocol_id: str

    @property
    def heard_at(self) -> float | None: ...
    @property
    def is_silent(self) -> bool: ...
    @property
    def is_open(self) -> bool: ...

    def open(self) -> None: ...
    def join(self, protocol_id: str) -> None: ...
    def renew(self) -> None: ...
    async def close(self) -> None: ...
