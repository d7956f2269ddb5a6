"""Connections that the server ends: expired or revoked tokens, floods, clients that never authenticate, shutdown."""

import logging
import time
from collections.abc import Callable
from typing import Any

import redis
from flask import Flask
from flask_socketio import disconnect

from app.auth.revocation import REFRESH_SECONDS, revocations
from app.core import runtime
from app.core.extensions import config, socketio
from app.observability import metrics
from app.realtime.fanout.frames import CloseReason
from app.realtime.fanout.websocket import WebSocket
from app.sockets.connections import Connection, connections

logger = logging.getLogger(__name__)

ANNOUNCE_SECONDS = 5.0
UNAUTHENTICATED_CHECK_SECONDS = 2.0
MAX_LINGER_SECONDS = 2.0
NOTICES = {
    "expired": ("session:expired", "TOKEN_EXPIRED"),
    "revoked": ("session:revoked", "TOKEN_REVOKED"),
}


def start_checks(app: Flask) -> None:
    """Check this process's connections from now on."""
    runtime.spawn(_repeat, app, REFRESH_SECONDS, end_invalid)
    runtime.spawn(_repeat, app, UNAUTHENTICATED_CHECK_SECONDS, end_unauthenticated)
    runtime.spawn(_repeat, app, ANNOUNCE_SECONDS, app.extensions["connections"].announce, 0.0)
    runtime.spawn(_repeat, app, REFRESH_SECONDS, socketio.server.manager.check_epoch)


def _repeat(app: Flask, seconds: float, check: Callable[[], Any], first_delay: float | None = None) -> None:
    runtime.sleep(seconds if first_delay is None else first_delay)
    while True:
        try:
            with app.app_context():
                check()
        except redis.RedisError as error:
            logger.warning("socket_check.failed", extra={"check": check.__name__, "error": str(error)})
        except Exception:  # the next run tries again
            logger.exception("socket_check.failed", extra={"check": check.__name__})
        runtime.sleep(seconds)


def end_invalid() -> None:
    """End the connections whose token has expired or was revoked."""
    _close_ended()
    known, expired_at = revocations(), time.time() - config().token_leeway
    known.refresh()
    for connection in connections().all():
        if connection.principal.expires_at <= expired_at:
            end(connection, "expired")
        elif known.is_revoked(connection.principal):
            end(connection, "revoked")


def end(connection: Connection, reason: str) -> None:
    """Disconnect a client, with a notice where it can act on the reason.

    A client that got a notice closes the transport itself; otherwise the next `end_invalid` closes it.
    """
    logger.info("session.ended", extra={"sid": connection.sid, "client": connection.name, "reason": str(reason)})
    metrics.SESSIONS_ENDED.labels(reason).inc()
    if reason in NOTICES:
        event, code = NOTICES[reason]
        socketio.server.emit(event, {"code": code}, to=connection.sid, ignore_queue=True)
    engine_socket = socketio.server.eio.sockets.get(_engine_sid(connection))
    disconnect(connection.sid, namespace="/")
    if engine_socket is not None:
        connections().ended.append(engine_socket)
        if reason not in NOTICES:
            _close_ended()


def _close_ended() -> None:
    here = connections()
    ended, here.ended = here.ended, []
    for engine_socket in ended:
        engine_socket.close(wait=False, abort=True, reason=CloseReason.SESSION_ENDED)


def end_unauthenticated() -> None:
    """Close Engine.IO connections that have no Socket.IO session after a few seconds.

    Also removes sessions whose connection broke during the connect handler: python-socketio reports no disconnect.
    """
    now, here, sockets = time.monotonic(), connections(), socketio.server.eio.sockets
    for connection in here.all():
        engine_sid = _engine_sid(connection)
        if engine_sid not in sockets:
            here.close(connection.sid)
            if engine_sid is not None:
                socketio.server.manager.disconnect(connection.sid, "/", ignore_queue=True)
    authenticated = {_engine_sid(each) for each in here.all()}
    here.unauthenticated = {sid: here.unauthenticated.get(sid, now) for sid in sockets if sid not in authenticated}
    limit = now - config().handshake_seconds
    overdue = [sid for sid, first_seen in here.unauthenticated.items() if first_seen < limit]
    for sid in overdue:
        engine_socket = sockets.get(sid)
        if engine_socket is not None and not engine_socket.closed:
            metrics.SESSIONS_ENDED.labels("handshake").inc()
            engine_socket.close(wait=False, abort=True, reason=CloseReason.HANDSHAKE_TIMEOUT)
        sockets.pop(sid, None)
    if overdue:
        logger.info("sockets.handshake_timed_out", extra={"connections": len(overdue)})


def _engine_sid(connection: Connection) -> Any:
    return socketio.server.manager.eio_sid_from_sid(connection.sid, "/")


def disconnect_all(seconds: float) -> None:
    """At shutdown: close all connections, spread over `seconds`, so that clients reconnect to other processes."""
    engine_sockets = list(socketio.server.eio.sockets.values())
    logger.info("sockets.disconnected", extra={"connections": len(engine_sockets)})
    for engine_socket in engine_sockets:
        engine_socket.close(wait=False, abort=True, reason=CloseReason.SERVER_SHUTDOWN)
        runtime.sleep(seconds / len(engine_sockets))
    deadline = time.monotonic() + MAX_LINGER_SECONDS
    while WebSocket.lingering and time.monotonic() < deadline:  # the last close frames are still unsent
        runtime.sleep(0.05)
