"""A room in one event loop: when to fetch, what to merge, and the status (docs/clients.md, "The algorithm").

1. It joins first, then fetches `/state`; events that arrive meanwhile are merged into the fetched state.
2. It merges by `version`: an event that the snapshot already contains, or that arrives twice, changes nothing.
3. A `seq` that jumps or goes back is a loss: it fetches `/state` again, after a random pause.
4. If the last event before a pause is lost, no later `seq` shows it, so it also fetches every 20 seconds.
5. A server that hangs keeps its connections open: when nothing was heard for 5 seconds, it asks for a sign of life.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from dashboard_realtime.errors import ApiError, DashboardError
from dashboard_realtime.room.connection import Connection, Context, Refusal
from dashboard_realtime.room.merge import Applied, apply_event
from dashboard_realtime.room.schedule import Schedule
from dashboard_realtime.room.sequence import Sequence
from dashboard_realtime.room.settings import RoomOptions, Status
from dashboard_realtime.room.snapshots import Snapshots
from dashboard_realtime.room.state import Held, from_snapshot
from dashboard_realtime.tokens import TokenSource

logger = logging.getLogger("dashboard_realtime.room")

MAX_EARLY_EVENTS = 100
SILENT = Refusal("SILENT", "The server does not answer.")


class Engine:
    def __init__(
        self,
        url: str,
        token: TokenSource,
        protocol_id: str,
        options: RoomOptions,
        *,
        connect: Callable[[Context, str], Connection],
        on_change: Callable[[], None],
        on_event: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.status = Status.CONNECTING
        self.held: Held | None = None
        self.error: Refusal | None = None
        self.stale_since: float | None = None  # in seconds since 1970
        self.snapshots = self.losses = 0  # fetched states, and detected losses
        self._options, self._on_change, self._on_event = options, on_change, on_event
        self._schedule = Schedule(options)
        self._sequence = Sequence()
        self._early: deque[Mapping[str, Any]] = deque(maxlen=MAX_EARLY_EVENTS)  # arrived before the first state
        self._http = httpx.AsyncClient(
            **{"base_url": url, "timeout": options.timeout, "verify": options.ssl or True, **options.http}
        )
        context = Context(url, token, options, self._schedule, self._http, self)
        self._connection = connect(context, protocol_id)
        self._snapshots = Snapshots(
            self._http,
            token,
            options,
            self._schedule,
            path=self._path,
            on_body=self._adopt,
            on_failed=self._on_fetch_failed,
        )

    @property
    def protocol_id(self) -> str:
        return self._connection.protocol_id

    def _path(self) -> str:
        query = "?agentBatches=true" if self._options.agent_batches else ""
        return f"/api/v1/protocols/{quote(self.protocol_id, safe='')}/state{query}"

    def start(self) -> None:
        self._connection.open()

    async def close(self) -> None:
        self._snapshots.cancel()
        await self._connection.close()
        await self._schedule.close()
        await self._http.aclose()
        if not self.status.is_final:
            self._set(Status.CLOSED)

    def join(self, protocol_id: str) -> None:
        """Switch to another protocol's room and discard the state of the old one."""
        self._snapshots.cancel()
        self._sequence.restart()
        self._early.clear()
        self.held, self.stale_since = None, None
        self.error = SILENT if self._connection.is_silent else None
        self._connection.join(protocol_id)
        self._set(Status.CONNECTING)

    def refresh(self) -> None:
        """Fetch `/state` now, for example after a request whose effect has no event."""
        if self.status is Status.LIVE:
            self._snapshots.now()

    def renew(self) -> None:
        self._connection.renew()

    def on_joined(self) -> None:
        self._sequence.restart()
        self._schedule.succeeded()
        is_return = self.held is not None
        self._set(Status.RESYNCING if is_return else Status.CONNECTING)
        if not self._connection.sends_states:
            self._snapshots.later(self._schedule.jitter() if is_return else 0)

    def on_message(self, event: Mapping[str, Any]) -> None:
        is_loss = self._sequence.arrive(event["seq"])
        self._snapshots.note(event)
        if self.held is None:
            self._early.append(event)
            return
        self._merge(event)
        self._on_event(event)
        if is_loss:
            self._on_loss()
        self._on_change()

    def _merge(self, event: Mapping[str, Any]) -> None:
        """An event about an object that is neither held nor covered by the snapshot requires a new snapshot."""
        held = self.held
        if held is None:
            return
        self.held, applied = apply_event(held, event)
        if applied is Applied.UNKNOWN and int(event["seq"]) > int(held.seq):
            self._snapshots.soon()

    def _on_loss(self) -> None:
        self.losses += 1
        self._age(time.time())
        self.status = Status.RESYNCING
        self._snapshots.soon()

    def _age(self, since: float | None) -> None:
        if self.stale_since is None:
            self.stale_since = since if since is not None else time.time()

    def on_state(self, body: Mapping[str, Any]) -> None:
        """The server has sent a whole state: a fetch that is still running would return an older one."""
        self._snapshots.cancel()
        self._snapshots.take()
        self._adopt(body)

    def _adopt(self, body: Mapping[str, Any]) -> None:
        self.held = from_snapshot(body)
        self.snapshots += 1
        self._schedule.succeeded()
        if self._connection.is_silent:
            self.status = Status.RECONNECTING
        else:
            self.stale_since, self.error, self.status = None, None, Status.LIVE
        self._snapshots.later(self._schedule.refresh_pause())
        since = self._snapshots.take()
        for event in since:
            self._merge(event)
        if self._sequence.cover(body["seq"], [event["seq"] for event in since]):
            self._on_loss()
        while self._early:
            self._on_event(self._early.popleft())
        self._on_change()

    def _on_fetch_failed(self, error: DashboardError) -> None:
        refusal = (
            Refusal(error.code, error.detail) if isinstance(error, ApiError) else Refusal("UNREACHABLE", str(error))
        )
        if isinstance(error, ApiError) and not error.is_transient:
            self._end(Status.SIGNED_OUT if error.status == httpx.codes.UNAUTHORIZED else Status.ERROR, refusal)
            return
        if not self._connection.is_silent:
            self.error = refusal
        self._age(time.time())
        if self._connection.is_open and not self._connection.is_silent:
            self._set(Status.RESYNCING if self.held else Status.CONNECTING)
        wanted = (error.retry_after or 0.0) if isinstance(error, ApiError) else 0.0
        self._snapshots.later(max(wanted, self._schedule.backoff()))

    def on_lost(self) -> None:
        self._snapshots.cancel()
        if not self.status.is_final:
            self._age(self._connection.heard_at)
            self._set(Status.RECONNECTING)

    def on_silent(self) -> None:
        """The connection is open, but the server does not answer."""
        if not self.status.is_final:
            self._age(self._connection.heard_at)
            self.error = SILENT
            self._set(Status.RECONNECTING if self.held else Status.CONNECTING)

    def on_heard(self) -> None:
        if not self.status.is_final:
            self.error = None
            self._set(Status.RESYNCING if self.held else Status.CONNECTING)
            self._snapshots.soon()

    def on_refused(self, refusal: Refusal) -> None:
        if refusal.code == "UNAUTHORIZED":
            self._end(Status.SIGNED_OUT, refusal)
        elif refusal.code == "INVALID_PROTOCOL":
            self._end(Status.ERROR, refusal)
        else:
            self.error = refusal
            self._set(Status.RECONNECTING if self.held else Status.CONNECTING)

    def _end(self, status: Status, refusal: Refusal) -> None:
        """Stop retrying: the token or the protocol must change first."""
        self._snapshots.cancel()
        self._schedule.spawn(self._connection.close())
        self.error = refusal
        self._set(status)

    def _set(self, status: Status) -> None:
        if status is not self.status:
            known = {"protocolId": self.protocol_id, "status": status.value, "error": self.error and self.error.code}
            logger.info("room.status_changed", extra=known)
        self.status = status
        self._on_change()
