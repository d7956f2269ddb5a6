"""The Socket.IO side of the scripted server: python-socketio's server, and what a case does to its connections."""

import contextlib
import socket
from typing import Any

import socketio

from clients.conformance.room import PROTOCOL, Event
from clients.conformance.script import Answers, Exchange, Record, Tokens

PING_SECONDS = (25, 20)  # interval and timeout, as those of the real server
ROOM = f"protocol:{PROTOCOL}"


class Sockets:
    def __init__(self, record: Record, answers: Answers, tokens: Tokens) -> None:
        self._record, self._answers, self._tokens = record, answers, tokens
        interval, timeout = PING_SECONDS
        self.server = socketio.Server(
            async_mode="threading", ping_interval=interval, ping_timeout=timeout, cors_allowed_origins="*"
        )
        self.server.on("connect", self._on_connect)
        self.server.on("protocol:join", self._on_join)
        self.server.on("protocol:leave", lambda *_: {"ok": True})
        self.server.on("session:renew", self._on_renew)
        self.server.on("session:ping", lambda *_: {"ok": True})

    def _on_connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        fields = auth if isinstance(auth, dict) else {}
        headers = {"User-Agent": environ.get("HTTP_USER_AGENT", "")}
        self._record.add(Exchange("connect", fields.get("token"), headers, body=fields))
        code = self._refusal(fields)
        if code is not None:
            raise socketio.exceptions.ConnectionRefusedError(code, {"code": code, "detail": f"Refused with {code}."})
        if fields.get("protocolId"):
            self.server.enter_room(sid, ROOM)

    def _refusal(self, fields: dict[str, Any]) -> str | None:
        planned: str | None = self._answers.take("connect").get("refuse")
        if planned is not None:
            return planned
        if not self._tokens.is_accepted(fields.get("token")):
            return "UNAUTHORIZED"
        return None if fields.get("protocolId") in {None, PROTOCOL} else "INVALID_PROTOCOL"

    def _on_join(self, sid: str, message: Any) -> dict[str, Any]:
        if message.get("protocolId") != PROTOCOL:
            return {"ok": False, "error": {"code": "INVALID_PROTOCOL", "detail": "There is no such protocol."}}
        self.server.enter_room(sid, ROOM)
        return {"ok": True, "room": ROOM, "protocolId": PROTOCOL, "stateUrl": f"/api/v1/protocols/{PROTOCOL}/state"}

    def _on_renew(self, _sid: str, message: Any) -> dict[str, Any]:
        token = message.get("token") if isinstance(message, dict) else None
        self._record.add(Exchange("renew", token, {}, body=message))
        if self._tokens.is_accepted(token):
            return {"ok": True, "protocolId": PROTOCOL}
        return {"ok": False, "error": {"code": "UNAUTHORIZED", "detail": "The token is not valid."}}

    def send(self, event: Event) -> None:
        self.server.emit(event["eventType"], event, room=ROOM)

    @property
    def count(self) -> int:
        return len(self._sids())

    def _sids(self) -> list[str]:
        return [sid for sid, _ in self.server.manager.get_participants("/", None)]

    def disconnect(self, notice: str | None = None) -> None:
        """End all connections as the server does at a restart, or with a notice such as `session:expired`."""
        for sid in self._sids():
            if notice is not None:
                self.server.emit(notice, {"code": "TOKEN_EXPIRED"}, to=sid)
            self.server.disconnect(sid)

    def cut(self) -> None:
        """Break the TCP connections."""
        for sid in self._sids():
            with contextlib.suppress(OSError, KeyError):
                self.server.get_environ(sid)["werkzeug.socket"].shutdown(socket.SHUT_RDWR)

    def silence(self, is_silent: bool) -> None:
        """Drop all that the server would send on its open connections, pings and acknowledgements included."""
        for each in list(self.server.eio.sockets.values()):
            if is_silent:
                each.send = lambda _packet: None
            else:
                vars(each).pop("send", None)
