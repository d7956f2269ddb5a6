"""Readers of a room, in its event loop or in other threads: each is woken by a change and takes the newest state."""

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from dashboard_realtime.room.state import RoomState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Feed:
    """Counts a room's changes, and wakes those who wait for the next one. It keeps no change, so nothing piles up."""

    def __init__(self) -> None:
        self.version = 0
        self._condition = threading.Condition()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def notify(self) -> None:
        with self._condition:
            self.version += 1
            self._condition.notify_all()
            waiting, self._waiting = self._waiting, []
        for loop, future in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, future)

    async def wait(self, seen: int) -> None:
        """Return when there is another version than `seen`."""
        loop = asyncio.get_running_loop()
        while self.version == seen:
            entry = (loop, loop.create_future())
            with self._condition:
                if self.version != seen:
                    return
                self._waiting.append(entry)
            try:
                await entry[1]
            finally:
                with self._condition:
                    if entry in self._waiting:
                        self._waiting.remove(entry)

    def wait_blocking(self, seen: int, timeout: float | None = None) -> bool:
        with self._condition:
            return self._condition.wait_for(lambda: self.version != seen, timeout)


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


class States:
    """The states of a room, for `for` and `async for`: the newest one after each change, also of the status alone.

    A slow reader skips states. It ends when the room is closed, and raises RoomRefused when it is refused for good.
    """

    def __init__(self, feed: Feed, newest: "Callable[[], RoomState | None]", check_open: "Callable[[], bool]") -> None:
        self._feed, self._newest, self._check_open = feed, newest, check_open
        self._seen = -1

    def __aiter__(self) -> "AsyncIterator[RoomState]":
        return self

    def __iter__(self) -> "Iterator[RoomState]":
        return self

    async def __anext__(self) -> RoomState:
        while (state := self._take(StopAsyncIteration)) is None:
            await self._feed.wait(self._seen)
        return state

    def __next__(self) -> RoomState:
        while (state := self._take(StopIteration)) is None:
            self._feed.wait_blocking(self._seen)
        return state

    def _take(self, end: type[Exception]) -> RoomState | None:
        """The newest state if it is a new one. Raises `end` or RoomRefused when there will be no other."""
        is_new = self._feed.version != self._seen
        self._seen = self._feed.version
        state = self._newest()
        if is_new and state is not None:
            return state
        if not self._check_open():
            raise end
        return None
