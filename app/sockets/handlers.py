"""The Socket.IO handlers: connect, disconnect, join, leave, renew, ping (spec: WebSocket Room Management)."""

import logging
import time
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import redis
from flask import Flask, request
from flask_socketio import ConnectionRefusedError as Refused
from flask_socketio import SocketIO
from sqlalchemy.exc import SQLAlchemyError

from app.auth.authorization import authenticate
from app.auth.permissions import Action, allows
from app.auth.tokens import Principal
from app.config import Config
from app.core import runtime
from app.core.dependency_errors import DatabaseUnavailable, as_outage
from app.core.errors import DomainError, Forbidden, InvalidInput, NotFound, RealtimeUnavailable
from app.core.extensions import socketio
from app.core.schemas import is_identifier
from app.http.responses import origin_check
from app.protocols.service import check_exists
from app.realtime import emitter, limiter
from app.realtime.fanout.frames import CloseReason
from app.realtime.fanout.manager import RoomManager, StockManager
from app.realtime.redis_keys import batched_view, room_of
from app.sockets import packets, sessions
from app.sockets.connections import FLOOD_FACTOR, Connection, Connections, connections

logger = logging.getLogger(__name__)

PING_INTERVAL_SECONDS = 25
PING_TIMEOUT_SECONDS = 20
MAX_MESSAGE_BYTES = 64 * 1024
SESSIONS_FACTOR = 2  # Engine.IO sessions, including unauthenticated ones, per allowed connection


def init_app(app: Flask, settings: Config, *, stock_fanout: bool = False) -> SocketIO:
    """Serve Socket.IO in this process; with `stock_fanout` by python-socketio's own means (see StockManager)."""
    app.extensions["connections"] = Connections(settings)
    socketio.init_app(
        app,
        async_mode=runtime.ASYNC_MODE,
        client_manager=(StockManager if stock_fanout else RoomManager)(
            settings.redis_url, app.extensions["room_scripts"]
        ),
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
    socketio.on_event("connect", on_connect)
    socketio.on_event("disconnect", on_disconnect)
    socketio.on_event("protocol:join", _with_ack(on_join))
    socketio.on_event("protocol:leave", _with_ack(on_leave))
    socketio.on_event("session:renew", _with_ack(on_renew))
    socketio.on_event("session:ping", _with_ack(on_ping))
    socketio.on("*")(_with_ack(on_unknown))
    socketio.default_exception_handler = _on_exception
    runtime.shutdown_hooks.append(partial(sessions.disconnect_all, app.extensions["connections"]))
    sessions.start_checks(app)
    return socketio


def on_connect(auth: Any = None) -> None:
    """Authenticate a connection and let it join the room it asks for, before the client's `connect` event fires.

    Raises ConnectionRefusedError with the code UNAUTHORIZED, or that of the limit or room that refused it.
    """
    sid = _sid()
    try:
        fields = auth if isinstance(auth, dict) else {}
        connection = connections().open(sid, authenticate(fields.get("token")), request.remote_addr or "")
        if fields.get("protocolId") is not None:
            join(connection, fields)
    except DomainError as error:
        connections().close(sid)
        code = "UNAUTHORIZED" if error.status == 401 else error.code  # noqa: PLR2004 - HTTP's Unauthorized
        logger.info("socket.refused", extra={"sid": sid, "code": code, "reason": error.detail})
        raise Refused(code, {"code": code, "detail": error.detail}) from error
    except Exception as error:  # an unexpected failure must refuse the connection
        connections().close(sid)
        logger.exception("socket.connect_failed", extra={"sid": sid})
        raise Refused("INTERNAL_ERROR", {"code": "INTERNAL_ERROR", "detail": "The server failed."}) from error


def on_disconnect(reason: str = "") -> None:
    connection = connections().close(_sid())
    if connection:
        sessions.record_disconnect(connection, reason)


def on_join(connection: Connection, message: Any, *more: Any) -> dict[str, Any]:
    """Move the connection to another protocol's room; on any error it stays in its room."""
    if more or not isinstance(message, dict):
        raise InvalidInput("Send an object with `protocolId`.", code="INVALID_MESSAGE")
    seq = join(connection, message)
    protocol_id = str(connection.protocol_id)
    return {
        "ok": True,
        "room": room_of(protocol_id),
        "protocolId": protocol_id,
        "seq": seq,
        "stateUrl": f"/api/v1/protocols/{protocol_id}/state",
    }


def on_leave(connection: Connection, *_: Any) -> dict[str, Any]:
    if connection.room is not None:
        socketio.server.manager.leave_room(connection.sid, "/", connection.room)
        connection.protocol_id = connection.room = None
    return {"ok": True}


def on_renew(connection: Connection, message: Any, *_: Any) -> dict[str, Any]:
    """Continue with a new token of the same subject; leaves the room if the token does not grant it."""
    principal = authenticate(message.get("token") if isinstance(message, dict) else None)
    if principal.subject != connection.principal.subject:
        raise Forbidden("The token has another subject: open a new connection.")
    connections().renew(connection, principal)
    if connection.protocol_id is not None and not principal.grants(connection.protocol_id):
        on_leave(connection)
    return {"ok": True, "protocolId": connection.protocol_id}


def on_ping(_connection: Connection, *_: Any) -> dict[str, Any]:
    """A sign of life: Engine.IO's own pings come too seldom to notice a server that hangs."""
    return {"ok": True}


def on_unknown(_connection: Connection, event: Any, *_: Any) -> dict[str, Any]:
    name = event if isinstance(event, str) else type(event).__name__
    raise InvalidInput(f"There is no event {name[:64]!r}.", code="UNKNOWN_EVENT")


def join(connection: Connection, message: dict[str, Any]) -> str:
    """Move the connection from its previous room to that of `protocolId`; returns the room's seq.

    Not safe for concurrent calls on one connection. The seq is read after the subscription, so every later event
    reaches the connection. Raises NotFound (INVALID_PROTOCOL), DependencyUnavailable, Conflict; the connection then
    stays in its previous room.
    """
    manager = socketio.server.manager
    protocol_id: Any = message.get("protocolId")
    _check_access(connection.principal, protocol_id)
    view = batched_view(protocol_id) if message.get("agentBatches") is True else protocol_id
    room, previous = room_of(view), connection.room
    if previous != room:
        manager.enter_room(connection.sid, "/", room)
    try:
        seq = limiter.current_seq(view)
        emitter.record_return(protocol_id, connection.name)
    except redis.RedisError as error:
        logger.warning("room.join_failed", extra={"sid": connection.sid, "room": room, "error": str(error)})
        if previous != room:
            manager.leave_room(connection.sid, "/", room)
        raise RealtimeUnavailable("Redis did not answer.") from error
    if previous not in (None, room):
        manager.leave_room(connection.sid, "/", previous)
    connection.protocol_id, connection.room = protocol_id, room
    manager.note_seq(view, seq)
    return seq


def _check_access(principal: Principal, protocol_id: Any) -> None:
    invalid = NotFound("There is no such protocol.", code="INVALID_PROTOCOL")
    is_granted = is_identifier(protocol_id) and principal.grants(protocol_id)
    if not is_granted or not allows(principal.role, Action.SUBSCRIBE):
        raise invalid
    try:
        check_exists(protocol_id)
    except NotFound as error:
        raise invalid from error
    except SQLAlchemyError as error:
        if (outage := as_outage(error)) is None:
            raise
        raise DatabaseUnavailable(outage.detail) from error


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


def _sid() -> str:
    return str(request.sid)  # type: ignore[attr-defined]
