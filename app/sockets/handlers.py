"""Browsers' connections: who may connect, and which protocol's room they are in (spec: WebSocket Room Management)."""

import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import redis
from flask import Flask, request
from flask_socketio import ConnectionRefusedError as Refused
from flask_socketio import SocketIO

from app.auth.authorization import authenticate
from app.config import Config
from app.core import runtime
from app.core.errors import DomainError, Forbidden, InvalidInput
from app.core.extensions import socketio
from app.http import origins
from app.observability import metrics
from app.realtime import missed_deliveries
from app.realtime.fanout.manager import RoomManager
from app.realtime.redis_keys import room_of
from app.sockets import packets, room_membership, sessions
from app.sockets.connections import FLOOD_FACTOR, Connection, Connections, connections

logger = logging.getLogger(__name__)

PING_INTERVAL_SECONDS = 25
PING_TIMEOUT_SECONDS = 20
MAX_MESSAGE_BYTES = 64 * 1024
SESSIONS_FACTOR = 2  # Engine.IO sessions, those that have not authenticated among them, for each socket allowed


def init_app(app: Flask, settings: Config) -> SocketIO:
    """Serve Socket.IO in this process: register the handlers and listen for events of rooms with members here."""
    app.extensions["connections"] = Connections(settings)
    socketio.init_app(
        app,
        async_mode=runtime.ASYNC_MODE,
        client_manager=RoomManager(settings.redis_url),
        cors_allowed_origins=origins.gate(settings.origins),
        ping_interval=PING_INTERVAL_SECONDS,
        ping_timeout=PING_TIMEOUT_SECONDS,
        max_http_buffer_size=MAX_MESSAGE_BYTES,
        http_compression=False,
        manage_session=False,
        async_handlers=False,  # a client's events are handled one after the other, as they came
        json=packets.StrictJson,
    )
    packets.install(socketio.server)
    socketio.server.eio.max_sessions = SESSIONS_FACTOR * settings.sockets_per_process
    socketio.server.eio.packets_per_second = 2 * FLOOD_FACTOR * settings.client_events_per_second
    _register_handlers()
    runtime.on_drain(sessions.disconnect_all)
    sessions.keep_watch(app, settings)
    return socketio


def _register_handlers() -> None:
    socketio.on_event("connect", on_connect)
    socketio.on_event("disconnect", on_disconnect)
    socketio.on_event("protocol:join", _answered(on_join))
    socketio.on_event("protocol:leave", _answered(on_leave))
    socketio.on_event("session:renew", _answered(on_renew))
    socketio.on("*")(_answered(on_unknown))
    socketio.default_exception_handler = _on_crash


def on_connect(auth: Any = None) -> None:
    """Let a connection in, and into its room before `connect` fires. Refuses with UNAUTHORIZED or INVALID_PROTOCOL."""
    sid = _sid()
    try:
        fields = auth if isinstance(auth, dict) else {}
        principal = authenticate(fields.get("token"))
        connection = connections().open(sid, principal, request.remote_addr or "")
        if fields.get("protocolId") is not None:
            room_membership.join(connection, fields["protocolId"], batches=fields.get("agentBatches") is True)
    except DomainError as error:
        connections().close(sid)
        code = "UNAUTHORIZED" if error.status == 401 else error.code  # noqa: PLR2004 - any fault of the token
        logger.info("socket.refused", extra={"sid": sid, "code": code, "reason": error.detail})
        raise Refused(code, {"code": code, "detail": error.detail}) from error
    except Exception as error:  # whatever fails, nobody gets in by it
        connections().close(sid)
        logger.exception("socket.connect_failed", extra={"sid": sid})
        raise Refused("INTERNAL_ERROR", {"code": "INTERNAL_ERROR", "detail": "The server failed."}) from error
    metrics.SOCKETS.set(connections().count)


def on_disconnect(reason: str = "") -> None:
    connection = connections().close(_sid())
    metrics.SOCKETS.set(connections().count)
    if connection and connection.protocol_id:
        left = {"sid": connection.sid, "room": room_of(connection.protocol_id), "reason": reason}
        logger.info("socket.disconnected", extra=left)
        _remember_absence(connection)


def on_join(connection: Connection, message: Any, *more: Any) -> dict[str, Any]:
    """Move the connection to another protocol's room; on any fault nothing changes."""
    if more or not isinstance(message, dict):
        raise InvalidInput("Send an object with `protocolId`.", code="INVALID_MESSAGE")
    seq = room_membership.join(connection, message.get("protocolId"), batches=message.get("agentBatches") is True)
    protocol_id = str(connection.protocol_id)
    return {
        "ok": True,
        "room": room_of(protocol_id),
        "protocolId": protocol_id,
        "seq": seq,
        "stateUrl": f"/api/v1/protocols/{protocol_id}/state",
    }


def on_leave(connection: Connection, *_: Any) -> dict[str, Any]:
    room_membership.leave(connection)
    return {"ok": True}


def on_renew(connection: Connection, message: Any, *_: Any) -> dict[str, Any]:
    """Go on under a fresh token of the same subject; what it does not grant any more is left."""
    token = message.get("token") if isinstance(message, dict) else None
    principal = authenticate(token)
    if principal.subject != connection.principal.subject:
        raise Forbidden("The token is another subject's: connect anew.")
    connections().renew(connection, principal)
    if connection.protocol_id is not None and not principal.sees(connection.protocol_id):
        room_membership.leave(connection)
    return {"ok": True, "protocolId": connection.protocol_id}


def on_unknown(connection: Connection, event: Any, *_: Any) -> dict[str, Any]:
    del connection
    name = event if isinstance(event, str) else type(event).__name__
    raise InvalidInput(f"There is no event {name[:64]!r}.", code="UNKNOWN_EVENT")


def _answered(handler: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Count the client's events, and answer every fault with an error ack instead of an exception."""

    @wraps(handler)
    def answer(*args: Any) -> dict[str, Any]:
        connection = connections().get(_sid())
        if connection is None:
            return _refusal("UNAUTHORIZED", "This connection has ended.")
        if connection.is_busy:  # only who polls twice at the same time, against the protocol, gets here
            return _refusal("BUSY", "Another event of this connection is being handled.")
        connection.is_busy = True
        try:
            connection.count_event(time.monotonic())
            return handler(connection, *(args or (None,)))
        except DomainError as error:
            if connection.floods:
                sessions.end(connection, "flood")
            return _refusal(error.code, error.detail)
        finally:
            connection.is_busy = False

    return answer


def _refusal(code: str, detail: str) -> dict[str, Any]:
    return {"ok": False, "error": {"code": code, "detail": detail}}


def _on_crash(error: Exception) -> dict[str, Any]:
    logger.error("socket.handler_failed", exc_info=error, extra={"sid": _sid()})
    return _refusal("INTERNAL_ERROR", "The server failed to handle this event.")


def _remember_absence(connection: Connection) -> None:
    try:
        missed_deliveries.record_disconnect(str(connection.protocol_id), connection.name)
    except redis.RedisError as error:
        logger.warning("absence.not_noted", extra={"sid": connection.sid, "error": str(error)})


def _sid() -> str:
    return str(request.sid)  # type: ignore[attr-defined]
