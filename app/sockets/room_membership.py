"""Joining and leaving protocol rooms: a connection is in at most one, and only where its token grants access."""

import logging
from typing import Any

import redis
from sqlalchemy.exc import SQLAlchemyError

from app.auth.permissions import Action, allows
from app.auth.tokens import Principal
from app.core.dependency_errors import DatabaseUnavailable, as_outage
from app.core.errors import DependencyUnavailable, NotFound
from app.core.extensions import socketio
from app.core.schemas import is_identifier
from app.protocols.service import check_exists
from app.realtime import emitter, limiter
from app.realtime.redis_keys import batched_view, room_of
from app.sockets.connections import Connection

logger = logging.getLogger(__name__)


def join(connection: Connection, protocol_id: Any, *, batches: bool) -> str:
    """Move the connection from its previous room to this one; returns the room's seq.

    Not safe for concurrent calls on one connection. The seq is read after the subscription, so every later event
    reaches the connection. Raises NotFound (INVALID_PROTOCOL), DependencyUnavailable, Conflict; the connection then
    stays in its previous room.
    """
    _check_access(connection.principal, protocol_id)
    view = batched_view(protocol_id) if batches else protocol_id
    room, previous = room_of(view), connection.room
    if previous != room:
        _manager().enter_room(connection.sid, "/", room)
    try:
        seq = limiter.current_seq(view)
        emitter.record_return(protocol_id, connection.name)
    except redis.RedisError as error:
        logger.warning("room.join_failed", extra={"sid": connection.sid, "room": room, "error": str(error)})
        if previous != room:
            _manager().leave_room(connection.sid, "/", room)
        raise DependencyUnavailable("Redis did not answer.", code="REALTIME_UNAVAILABLE") from error
    if previous not in (None, room):
        _manager().leave_room(connection.sid, "/", previous)
    connection.protocol_id, connection.room = protocol_id, room
    _manager().note_seq(view, seq)
    return seq


def leave(connection: Connection) -> None:
    if connection.room is not None:
        _manager().leave_room(connection.sid, "/", connection.room)
        connection.protocol_id = connection.room = None


def _check_access(principal: Principal, protocol_id: Any) -> None:
    invalid = NotFound("There is no such protocol.", code="INVALID_PROTOCOL")
    if (
        not is_identifier(protocol_id)
        or not principal.sees(protocol_id)
        or not allows(principal.role, Action.SUBSCRIBE)
    ):
        raise invalid
    try:
        check_exists(protocol_id)
    except NotFound as error:
        raise invalid from error
    except SQLAlchemyError as error:
        if (outage := as_outage(error)) is None:
            raise
        raise DatabaseUnavailable(outage.detail) from error


def _manager() -> Any:
    return socketio.server.manager
