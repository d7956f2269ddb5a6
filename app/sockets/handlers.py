"""The Socket.IO handlers: connect, disconnect, join, leave, renew (spec: WebSocket Room Management)."""

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
from app.http.responses import origin_check
from app.observability import metrics
from app.realtime import missed_deliveries
from app.realtime.fanout.close_reasons import CloseReason
from app.realtime.fanout.manager import RoomManager
from app.realtime.fanout.stock import StockManager
from app.realtime.redis_keys import room_of
from app.sockets import packets, room_membership, sessions
from app.sockets.connections import FLOOD_FACTOR, Connection, Connections, connections

logger = logging.getLogger(__name__)

PING_INTERVAL_SECONDS = 25
PING_TIMEOUT_SECONDS = 20
MAX_MESSAGE_BYTES = 64 * 1024
SESSIONS_FACTOR = 2  # Engine.IO sessions, including unauthenticated ones, per allowed connection


def init_app(app: Flask, settings: Config, *, stock_fanout: bool = False) -> SocketIO:
    """Serve Socket.IO in this process; with `stock_fanout` by python-socketio's own means (see `fanout/stock.py`)."""
    app.extensions["connections"] = Connections(settings)
    socketio.init_app(
        app,
        async_mode=runtime.ASYNC_MODE,
        client_manager=(StockManager if stock_fanout else RoomManager)(settings.redis_url),
        cors_allowed_origins=origin_check(settings.origins),
        ping_interval=PING_INTERVAL_SECONDS,
        ping_timeout=PING_TIMEOUT_SECONDS,
        max_http_buffer_size=MAX_MESSAGE_BYTES,
        http_compression=False,
        manage_session=False,
        async_handlers=False,  # a client's events are handled one at a time, in order
        json=packets.PacketJson,
    )
    packets.install(socketio.server)
    socketio.server.eio.max_sessions = SESSIONS_FACTOR * settings.sockets_per_process
    socketio.server.eio.packets_per_second = 2 * FLOOD_FACTOR * settings.client_events_per_second
    _register_handlers()
    runtime.on_shutdown(sessions.disconnect_all)
    sessions.start_checks(app, settings)
    return socketio


def _register_handlers() -> None:
    socketio.on_event("connect", on_connect)
    socketio.on_event("disconnect", on_disconnect)
    socketio.on_event("protocol:join", _with_ack(on_join))
    socketio.on_event("protocol:leave", _with_ack(on_leave))
    socketio.on_event("session:renew", _with_ack(on_renew))
    socketio.on("*")(_with_ack(on_unknown))
    socketio.default_exception_handler = _on_exception


def on_connect(auth: Any = None) -> None:
    """Authenticate a connection and let it join the room it asks for, before the client's `connect` event fires.

    Raises ConnectionRefusedError with the code UNAUTHORIZED, or that of the limit or room that refused it.
    """
    sid = _sid()
    try:
        fields = auth if isinstance(auth, dict) else {}
        principal = authenticate(fields.get("token"))
        connection = connections().open(sid, principal, request.remote_addr or "")
        if fields.get("protocolId") is not None:
            room_membership.join(connection, fields["protocolId"], batches=fields.get("agentBatches") is True)
    except DomainError as error:
        connections().close(sid)
        code = "UNAUTHORIZED" if error.status == 401 else error.code  # noqa: PLR2004 - HTTP's Unauthorized
        logger.info("socket.refused", extra={"sid": sid, "code": code, "reason": error.detail})
        raise Refused(code, {"code": code, "detail": error.detail}) from error
    except Exception as error:  # an unexpected failure must refuse the connection
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
        _record_disconnected(connection)


def on_join(connection: Connection, message: Any, *more: Any) -> dict[str, Any]:
    """Move the connection to another protocol's room; on any error it stays in its room."""
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
    """Continue with a new token of the same subject; leaves the room if the token does not grant it."""
    token = message.get("token") if isinstance(message, dict) else None
    principal = authenticate(token)
    if principal.subject != connection.principal.subject:
        raise Forbidden("The token has another subject: open a new connection.")
    connections().renew(connection, principal)
    if connection.protocol_id is not None and not principal.sees(connection.protocol_id):
        room_membership.leave(connection)
    return {"ok": True, "protocolId": connection.protocol_id}


def on_unknown(connection: Connection, event: Any, *_: Any) -> dict[str, Any]:
    del connection
    name = event if isinstance(event, str) else type(event).__name__
    raise InvalidInput(f"There is no event {name[:64]!r}.", code="UNKNOWN_EVENT")


def _with_ack(handler: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Count the client's events, and acknowledge every error with an error object instead of an exception."""

    @wraps(handler)
    def handle(*args: Any) -> dict[str, Any]:
        connection = connections().get(_sid())
        if connection is None:
            return _error("UNAUTHORIZED", "This connection has ended.")
        if connection.is_busy:  # only a client that violates the protocol with concurrent polls
            return _error("BUSY", "Another event of this connection is being handled.")
        connection.is_busy = True
        try:
            connection.count_event(time.monotonic())
            return handler(connection, *(args or (None,)))
        except DomainError as error:
            if connection.is_flooding:
                sessions.end(connection, CloseReason.FLOOD)
            return _error(error.code, error.detail)
        finally:
            connection.is_busy = False

    return handle


def _error(code: str, detail: str) -> dict[str, Any]:
    return {"ok": False, "error": {"code": code, "detail": detail}}


def _on_exception(error: Exception) -> dict[str, Any]:
    logger.error("socket.handler_failed", exc_info=error, extra={"sid": _sid()})
    return _error("INTERNAL_ERROR", "The server failed to handle this event.")


def _record_disconnected(connection: Connection) -> None:
    try:
        missed_deliveries.record_disconnect(str(connection.protocol_id), connection.name)
    except redis.RedisError as error:
        logger.warning("disconnect.record_failed", extra={"sid": connection.sid, "error": str(error)})


def _sid() -> str:
    return str(request.sid)  # type: ignore[attr-defined]
