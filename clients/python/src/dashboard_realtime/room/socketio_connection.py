"""The Socket.IO connection to one room: joins with the handshake, reconnects, and distinguishes kinds of refusal.

Each attempt is a new `socketio.AsyncClient` without reconnection of its own: the pauses and the decision whether to try
again are the room's.
"""

import asyncio
import contextlib
import logging
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import socketio

from dashboard_realtime.errors import Unreachable
from dashboard_realtime.room.connection import FINAL_CODES, Context, Refusal
from dashboard_realtime.room.heartbeat import Heartbeat
from dashboard_realtime.tokens import renewal_pause

logger = logging.getLogger("dashboard_realtime.room")

DROP_SECONDS = 2.0


class SocketIoConnection:
    sends_states = False

    def __init__(self, context: Context, protocol_id: str) -> None:
        self.protocol_id = protocol_id
        self._url, self._token = context.url, context.token
        self._options, self._schedule, self._listener = context.options, context.schedule, context.listener
        self._client: Any = None  # of the current attempt
        self._is_trying = self._is_joined = self._is_closed = False
        self._joins = 0
        self._heartbeat = Heartbeat(
            context.options, ask=self._ask, on_silent=self._listener.on_silent, on_heard=self._listener.on_heard
        )

    @property
    def heard_at(self) -> float | None:
        return self._heartbeat.heard_at

    @property
    def is_silent(self) -> bool:
        return self._heartbeat.is_silent

    @property
    def is_open(self) -> bool:
        return self._is_joined

    def open(self) -> None:
        self._schedule.cancel("connect")
        if not self._is_closed and not self._is_trying:
            self._is_trying = True
            self._schedule.spawn(self._attempt())

    async def close(self) -> None:
        """End the connection; `join` opens it again."""
        self._is_closed = True
        self._is_trying = self._is_joined = False
        self._heartbeat.stop()
        for purpose in ("connect", "handshake", "join", "renew"):
            self._schedule.cancel(purpose)
        client, self._client = self._client, None
        if client is not None:
            await self._drop(client)

    def join(self, protocol_id: str) -> None:
        """Move to another room. A connection that is down, or breaks meanwhile, joins it with its handshake."""
        self.protocol_id = protocol_id
        self._joins += 1
        self._is_closed = False
        if self._is_joined:
            self._emit("protocol:join", self._room(), self._on_join_answer(self._joins))
        else:
            self.open()

    def renew(self) -> None:
        """Send a new token before the old one expires; otherwise the server ends the connection."""
        if self._is_joined:
            self._schedule.spawn(self._renew())

    async def _renew(self) -> None:
        try:
            token = await self._token.get()
        except Unreachable as error:
            logger.warning("room.renewal_failed", extra={"protocolId": self.protocol_id, "reason": str(error)})
            self._schedule.later("renew", self._schedule.backoff(), self.renew)
            return
        if self._is_joined:
            self._emit("session:renew", {"token": token}, lambda *_: self._heartbeat.hear())
            self._renew_later(token)

    def _renew_later(self, token: str) -> None:
        pause = renewal_pause(token, self._options.renew_before) if self._token.is_renewable else None
        self._schedule.cancel("renew")
        if pause is not None:
            self._schedule.later("renew", pause, self.renew)

    async def _attempt(self) -> None:
        """Connect, and return when the connection has ended."""
        async with self._session() as session:
            client = socketio.AsyncClient(http_session=session, reconnection=False, handle_sigint=False)
            self._client = client
            try:
                await self._connect(client)
                await client.eio.wait()
            except Exception as error:  # noqa: BLE001 - a failed attempt, whatever its kind, is followed by another
                detail = str(error.__cause__ or error) or type(error).__name__
                self._end(client, Refusal("UNREACHABLE", detail))
            else:
                self._end(client)

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(ssl=self._options.ssl or True)
        return aiohttp.ClientSession(connector=connector, trust_env=True)

    async def _connect(self, client: Any) -> None:
        """Open the transport and ask to join; the answer arrives as `connect` or `connect_error`."""
        token = await self._token.get()
        self._renew_later(token)
        auth = {"token": token, **self._room()}
        client.on("connect", lambda: self._on_connected(client))
        client.on("connect_error", lambda data=None: self._on_refused(client, data))
        client.on("disconnect", lambda reason=None: self._on_disconnected(client, reason))
        client.on("*", lambda _event, message=None, *_: self._on_message(client, message))
        path = urlsplit(self._url).path.strip("/")
        connecting = client.connect(
            self._url,
            auth=auth,
            transports=["websocket"],
            socketio_path=f"{path}/socket.io".strip("/"),
            wait=False,
        )
        await asyncio.wait_for(connecting, self._options.timeout)
        self._schedule.later("handshake", self._options.timeout, lambda: self._on_no_answer(client))

    def _on_no_answer(self, client: Any) -> None:
        if not self._is_joined:
            self._end(client, Refusal("UNREACHABLE", "The server did not answer the handshake."))

    def _on_connected(self, client: Any) -> None:
        if client is self._client:
            self._schedule.cancel("handshake")
            self._is_joined = True
            self._heartbeat.start()
            self._listener.on_joined()

    def _on_message(self, client: Any, message: Any) -> None:
        if client is not self._client:
            return
        self._heartbeat.hear()
        if isinstance(message, dict) and message.get("seq") and message.get("protocolId") == self.protocol_id:
            self._listener.on_message(message)

    def _on_refused(self, client: Any, data: Any) -> None:
        """A refusal by the server; a transport that cannot be opened raises in `connect` as well."""
        if isinstance(data, dict):
            given = data.get("data") or {}
            message = str(data.get("message", "refused"))
            code = given.get("code") if isinstance(given, dict) else None
            self._end(client, Refusal(code, str(given.get("detail", message))) if code else Refusal("REFUSED", message))

    def _on_disconnected(self, client: Any, reason: Any) -> None:
        # After the server's own end of the connection (a restart, an expired token) many clients return at once.
        self._end(client, pause=self._schedule.jitter() if reason == client.reason.SERVER_DISCONNECT else None)

    def _end(self, client: Any, refusal: Refusal | None = None, pause: float | None = None) -> None:
        """Abandon the connection of this attempt, tell the room, and try again unless the refusal is final."""
        if client is not self._client:
            return
        self._client, was_joined = None, self._is_joined
        self._is_trying = self._is_joined = False
        for purpose in ("handshake", "renew"):
            self._schedule.cancel(purpose)
        self._heartbeat.stop()
        self._schedule.spawn(self._drop(client))
        if was_joined:
            self._listener.on_lost()
        if refusal is not None:
            self._listener.on_refused(refusal)
            if refusal.code in FINAL_CODES:
                return
        if not self._is_closed:
            self._schedule.later("connect", self._schedule.backoff() if pause is None else pause, self.open)

    async def _drop(self, client: Any) -> None:
        with contextlib.suppress(Exception):  # nothing depends on how an abandoned connection ends
            await asyncio.wait_for(client.disconnect(), DROP_SECONDS)

    def _room(self) -> dict[str, Any]:
        return {"protocolId": self.protocol_id} | ({"agentBatches": True} if self._options.agent_batches else {})

    def _ask(self) -> None:
        # The acknowledgement counts, whatever it says: it comes from the very process that holds the connection.
        self._emit("session:ping", None, lambda *_: self._heartbeat.hear())

    def _emit(self, event: str, data: Any, answered: Any) -> None:
        client = self._client
        if client is None:
            return

        def answer(*values: Any) -> None:
            if client is self._client:
                answered(*values)

        async def emit() -> None:
            with contextlib.suppress(socketio.exceptions.SocketIOError):  # not connected any more
                await client.emit(event, data, callback=answer)

        self._schedule.spawn(emit())

    def _on_join_answer(self, join: int) -> Any:
        def answered(answer: Any = None, *_: Any) -> None:
            self._heartbeat.hear()
            if join != self._joins or not isinstance(answer, dict):
                return
            if answer.get("ok"):
                self._listener.on_joined()
                return
            error = answer.get("error") or {}
            refusal = Refusal(str(error.get("code", "REFUSED")), str(error.get("detail", "")))
            self._listener.on_refused(refusal)
            if refusal.code not in FINAL_CODES:
                self._schedule.later("join", self._schedule.backoff(), lambda: self.join(self.protocol_id))

        return answered
