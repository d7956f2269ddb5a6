"""Fetches `/state`, one request at a time, and keeps the events that arrive meanwhile, to be merged into it."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from dashboard_realtime.errors import DashboardError, Unreachable
from dashboard_realtime.retrying import error_of, unreachable
from dashboard_realtime.room.schedule import Schedule
from dashboard_realtime.room.settings import RoomOptions
from dashboard_realtime.tokens import TokenSource

MAX_KEPT_EVENTS = 1000  # a fetch ends after `timeout`; a room has ten events a second


class Snapshots:
    def __init__(
        self,
        client: httpx.AsyncClient,
        token: TokenSource,
        options: RoomOptions,
        schedule: Schedule,
        *,
        path: Callable[[], str],
        on_body: Callable[[Mapping[str, Any]], None],
        on_failed: Callable[[DashboardError], None],
    ) -> None:
        self._since: list[Mapping[str, Any]] = []  # the events that arrived since the last fetch began
        self._client, self._token, self._options, self._schedule = client, token, options, schedule
        self._path, self._on_body, self._on_failed = path, on_body, on_failed
        self._running: asyncio.Task[None] | None = None
        self._ended_at = 0.0
        self._tagged: tuple[str, str, Mapping[str, Any]] | None = None  # the path, ETag and body of the last response

    def soon(self) -> None:
        """Fetch after a random pause, as many clients ask for the same reason, and at least `rest` after the last."""
        rest = self._ended_at + self._options.rest - time.monotonic()
        self.later(self._schedule.jitter() + max(0.0, rest))

    def later(self, seconds: float) -> None:
        # A running fetch decides when it ends whether another one is needed.
        self._schedule.later("fetch", seconds, self._fetch_unless_running)

    def _fetch_unless_running(self) -> None:
        if self._running is None:
            self.now()

    def now(self) -> None:
        self.cancel()
        self._since = []
        self._running = self._schedule.spawn(self._run())

    def note(self, event: Mapping[str, Any]) -> None:
        if self._running and len(self._since) < MAX_KEPT_EVENTS:
            self._since.append(event)

    def take(self) -> list[Mapping[str, Any]]:
        """The events that arrived since the last fetch began; they are forgotten."""
        since, self._since = self._since, []
        return since

    def cancel(self) -> None:
        self._schedule.cancel("fetch")
        if self._running:
            self._running.cancel()
        self._end()

    def _end(self) -> None:
        self._running = None
        self._ended_at = time.monotonic()

    async def _run(self) -> None:
        running = asyncio.current_task()
        try:
            body = await asyncio.wait_for(self._fetch(), self._options.timeout)
        except asyncio.TimeoutError:
            failure: DashboardError | None = Unreachable(f"No response within {self._options.timeout:g} seconds.")
        except DashboardError as error:
            failure = error
        else:
            failure = None
        if running is not self._running:  # replaced by another fetch, or cancelled
            return
        self._end()
        if failure is None:
            self._on_body(body)
        else:
            self._on_failed(failure)

    async def _fetch(self) -> Mapping[str, Any]:
        """Raises DashboardError."""
        path = self._path()
        headers = {"Authorization": f"Bearer {await self._token.get()}"}
        known = self._tagged if self._tagged and self._tagged[0] == path else None
        if known:
            headers["If-None-Match"] = known[1]
        try:
            response = await self._client.get(path, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unreachable(error) from error
        if known and response.status_code == httpx.codes.NOT_MODIFIED:
            return known[2]
        if not response.is_success:
            raise error_of(response)
        with contextlib.suppress(ValueError):
            body = response.json()
            if isinstance(body, dict) and "seq" in body:
                tag = response.headers.get("ETag")
                self._tagged = (path, tag, body) if tag else None
                return body
        raise Unreachable("The response is not a state.")
