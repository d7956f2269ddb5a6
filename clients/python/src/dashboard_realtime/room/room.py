"""`Room`: a live, consistent copy of a protocol's state, for async code, threads and callbacks."""

import asyncio
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple, TypeVar

from dashboard_realtime.addresses import base_url
from dashboard_realtime.errors import RoomRefused
from dashboard_realtime.room.connection import Connection, Context, Refusal
from dashboard_realtime.room.engine import Engine
from dashboard_realtime.room.readers import Feed, States
from dashboard_realtime.room.settings import RoomOptions, Status
from dashboard_realtime.room.socketio_connection import SocketIoConnection
from dashboard_realtime.room.sse_connection import SseConnection
from dashboard_realtime.room.state import Held, RoomState
from dashboard_realtime.tokens import Token, TokenSource

logger = logging.getLogger("dashboard_realtime.room")

CLOSE_SECONDS = 10.0
TRANSPORTS: dict[str, Callable[[Context, str], Connection]] = {"socketio": SocketIoConnection, "sse": SseConnection}

OnState = Callable[[RoomState], object | Awaitable[object]]
OnEvent = Callable[[Mapping[str, Any]], object]
OnStatus = Callable[[Status], object]
Result = TypeVar("Result")


class _Published(NamedTuple):
    """What readers in other threads see: replaced as a whole."""

    held: Held | None = None
    status: Status = Status.CONNECTING
    stale_since: float | None = None
    error: Refusal | None = None


class Room:
    """A live copy of `GET /protocols/{id}/state`.

        async with Room(url, token, "P1") as room:   # or, in a thread of its own: with Room(url, token, "P1") as room:
            async for state in room.states():        #                                 for state in room.states():
                print(state.status, state.pool["available"])

    `token` is a token, or a function (also an async one) that returns the current one: it is called before each
    connection and request, and before the old token expires. It must not block. With callbacks: `on_state` gets the
    newest state after a change, also of the status alone, and may be async; `on_event` gets every event of the room,
    in order, and `on_status` every status: both must return at once. `transport` is "socketio", or "sse" where
    WebSockets are blocked.
    """

    def __init__(
        self,
        url: str,
        token: Token,
        protocol_id: str,
        *,
        transport: str = "socketio",
        on_state: OnState | None = None,
        on_event: OnEvent | None = None,
        on_status: OnStatus | None = None,
        options: RoomOptions | None = None,
    ) -> None:
        if transport not in TRANSPORTS:
            raise ValueError(f"transport is {transport!r}, not one of {', '.join(TRANSPORTS)}")
        self._url, self._token, self._protocol_id = base_url(url), TokenSource(token), protocol_id
        self._transport, self._options = TRANSPORTS[transport], options or RoomOptions()
        self._on_state, self._on_event, self._on_status = on_state, on_event, on_status
        self._feed, self._published = Feed(), _Published()
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pump: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Room {self._protocol_id} at {self._url}: {self.status}>"

    @property
    def protocol_id(self) -> str:
        return self._protocol_id

    @property
    def status(self) -> Status:
        return self._published.status

    @property
    def state(self) -> RoomState | None:
        """The newest state; None before the first one."""
        held, status, _, _ = self._published
        return RoomState.of(held, status, self.stale_since) if held else None

    @property
    def stale_since(self) -> datetime | None:
        """The time since which the state may be out of date; None while it is live."""
        since = self._published.stale_since
        return None if since is None else datetime.fromtimestamp(since, timezone.utc)

    @property
    def error(self) -> Refusal | None:
        """The last refusal, for display; code SILENT: the server does not answer. None if there is none."""
        return self._published.error

    @property
    def counters(self) -> dict[str, int]:
        """The number of states adopted and of losses detected."""
        engine = self._engine
        return {"snapshots": engine.snapshots, "losses": engine.losses} if engine else {"snapshots": 0, "losses": 0}

    def states(self) -> States:
        return States(self._feed, lambda: self.state, self._check_open)

    def join(self, protocol_id: str) -> None:
        """Switch to another protocol's room and discard the state of the old one."""
        self._protocol_id = protocol_id
        self._call(lambda engine: engine.join(protocol_id))

    def refresh(self) -> None:
        """Fetch the state now, for example after a request whose effect has no event."""
        self._call(Engine.refresh)

    def renew(self) -> None:
        """Send the current value of `token` to the server now; it is done before the old one expires anyway."""
        self._call(Engine.renew)

    async def __aenter__(self) -> "Room":
        self._loop = asyncio.get_running_loop()
        self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._engine is not None:
            await self._engine.close()
        if self._pump is not None and self._pump is not asyncio.current_task():
            await asyncio.gather(self._pump, return_exceptions=True)

    async def run(self) -> None:
        """Follow the room until it is closed, for rooms with callbacks. Raises RoomRefused."""
        async with self:
            while self._check_open():
                await self._feed.wait(self._feed.version)

    def __enter__(self) -> "Room":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="dashboard-room", daemon=True)
        self._thread.start()

        async def start() -> None:
            self._start()

        self._in_thread(start())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the room that `with` opened; readers in other threads end too."""
        loop, thread, self._thread = self._loop, self._thread, None
        if thread is None or loop is None:
            return
        try:
            self._in_thread(self.aclose(), CLOSE_SECONDS)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(CLOSE_SECONDS)
            if not thread.is_alive():
                loop.close()

    def run_forever(self) -> None:
        """As `run`, in this thread."""
        with self:
            while self._check_open():
                self._feed.wait_blocking(self._feed.version)

    def _in_thread(self, work: Coroutine[Any, Any, Result], seconds: float | None = None) -> Result:
        if self._loop is None:
            raise RuntimeError("the room is not open")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def _start(self) -> None:
        if self._engine is not None:
            raise RuntimeError("a room is opened once: make another one")
        self._engine = Engine(
            self._url,
            self._token,
            self._protocol_id,
            self._options,
            connect=self._transport,
            on_change=self._publish,
            on_event=self._pass_on_event,
        )
        if self._on_state is not None:
            self._pump = asyncio.get_running_loop().create_task(self._call_on_state(self._on_state))
        self._engine.start()

    def _call(self, action: Callable[[Engine], None]) -> None:
        engine, loop = self._engine, self._loop
        if engine is None or loop is None:
            raise RuntimeError("the room is not open")
        loop.call_soon_threadsafe(action, engine)

    def _check_open(self) -> bool:
        """Raises RoomRefused if the room was refused for good."""
        _, status, _, error = self._published
        if status in (Status.SIGNED_OUT, Status.ERROR) and error is not None:
            raise RoomRefused(error.code, error.detail)
        return status is not Status.CLOSED

    def _publish(self) -> None:
        engine = self._engine
        if engine is None:  # while it is being made
            return
        before = self._published.status
        self._published = _Published(engine.held, engine.status, engine.stale_since, engine.error)
        self._feed.notify()
        if self._on_status is not None and engine.status is not before:
            self._guard(self._on_status, engine.status)

    def _pass_on_event(self, event: Mapping[str, Any]) -> None:
        if self._on_event is not None:
            self._guard(self._on_event, event)

    @staticmethod
    def _guard(callback: Callable[[Any], object], value: object) -> None:
        try:
            callback(value)
        except Exception:
            logger.exception("room.callback_failed")

    async def _call_on_state(self, on_state: OnState) -> None:
        try:
            async for state in self.states():
                try:
                    result = on_state(state)
                    if inspect.isawaitable(result):
                        await result
                except Exception:
                    logger.exception("room.callback_failed")
        except RoomRefused as refusal:
            logger.warning("room.refused", extra={"protocolId": self._protocol_id, "reason": str(refusal)})
