"""The room as a stream of Server-Sent Events: for readers behind proxies that block WebSockets.

A stream begins with the whole state, and the server sends it again when it sees a gap itself. Comment lines tell that
it is alive.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx

from dashboard_realtime.errors import ApiError, Unreachable
from dashboard_realtime.retrying import MAX_RETRY_AFTER_SECONDS, error_of
from dashboard_realtime.room.connection import Context, Refusal

MAX_LINE = 64 * 1024 * 1024


class SseConnection:
    sends_states = True
    is_silent = False  # a stream without even a comment is broken, and is opened anew

    def __init__(self, context: Context, protocol_id: str) -> None:
        self.protocol_id = protocol_id
        self.heard_at: float | None = None
        self._token, self._http, self._options = context.token, context.http, context.options
        self._schedule, self._listener = context.schedule, context.listener
        self._reading: asyncio.Task[None] | None = None
        self._is_joined = False

    @property
    def is_open(self) -> bool:
        return self._is_joined

    def open(self) -> None:
        if self._reading is None:
            self._reading = self._schedule.spawn(self._read())

    async def close(self) -> None:
        """End the stream; `join` opens another."""
        self._schedule.cancel("connect")
        reading, self._reading, self._is_joined = self._reading, None, False
        if reading is not None and reading is not asyncio.current_task():
            reading.cancel()

    def join(self, protocol_id: str) -> None:
        self.protocol_id = protocol_id
        if self._reading is not None:
            self._reading.cancel()
        self._reading, self._is_joined = None, False
        self._schedule.cancel("connect")
        self.open()

    def renew(self) -> None:
        """Nothing to do: a stream whose token expires ends, and the next one takes the current token."""

    async def _read(self) -> None:
        """Read one stream to its end, then schedule the next one, unless the refusal is final."""
        refusal, pause = None, None
        try:
            await self._follow()
        except ApiError as error:
            refusal = Refusal(_connection_code(error), error.detail)
            pause = min(error.retry_after or 0.0, MAX_RETRY_AFTER_SECONDS)
        except (httpx.HTTPError, httpx.StreamError, Unreachable, ValueError, KeyError, TypeError) as error:
            refusal = Refusal("UNREACHABLE", f"{type(error).__name__}: {error}")
        if self._reading is not asyncio.current_task():  # closed, or moved to another room
            return
        was_joined, self._reading, self._is_joined = self._is_joined, None, False
        if was_joined:
            self._listener.on_lost()
        if refusal is not None and not (was_joined and refusal.code == "UNREACHABLE"):
            self._listener.on_refused(refusal)
            if refusal.code in ("UNAUTHORIZED", "INVALID_PROTOCOL"):
                return
        backoff = self._schedule.jitter() if was_joined else self._schedule.backoff()
        self._schedule.later("connect", max(backoff, pause or 0.0), self.open)

    async def _follow(self) -> None:
        """Raises ApiError, httpx.HTTPError, Unreachable, ValueError."""
        headers = {"Authorization": f"Bearer {await self._token.get()}", "Accept": "text/event-stream"}
        path = f"/api/v1/protocols/{quote(self.protocol_id, safe='')}/events"
        query = {"agentBatches": "true"} if self._options.agent_batches else None
        limits = httpx.Timeout(self._options.timeout, read=self._options.stream_silence)
        async with self._http.stream("GET", path, params=query, headers=headers, timeout=limits) as response:
            if not response.is_success:
                await response.aread()
                raise error_of(response)
            async for name, data in _events(self._lines(response)):
                self._dispatch(name, json.loads(data))

    async def _lines(self, response: httpx.Response) -> AsyncIterator[str]:
        """httpx's own lines also end at characters that JSON may contain, such as U+2028."""
        rest = b""
        async for chunk in response.aiter_bytes():
            self.heard_at = time.time()
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > MAX_LINE:
                raise ValueError(f"a line of more than {MAX_LINE} bytes")
            for line in lines:
                yield line.removesuffix(b"\r").decode()

    def _dispatch(self, name: str, message: Any) -> None:
        if name == "state":
            if not self._is_joined:
                self._is_joined = True
                self._listener.on_joined()
            self._listener.on_state(message)
        elif isinstance(message, dict) and message.get("seq") and message.get("protocolId") == self.protocol_id:
            self._listener.on_message(message)


def _connection_code(error: ApiError) -> str:
    """The code that a Socket.IO connection would be refused with."""
    if error.status == httpx.codes.UNAUTHORIZED:
        return "UNAUTHORIZED"
    return "INVALID_PROTOCOL" if error.status in (httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND) else error.code


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, str]]:
    """The name and data of each event (HTML standard, 9.2.6); comments and other fields are skipped."""
    name, data = "message", list[str]()
    async for line in lines:
        if not line:
            if data:
                yield name, "\n".join(data)
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
