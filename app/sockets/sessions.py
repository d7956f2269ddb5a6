"""Connections that the server ends: expired or revoked tokens, floods, clients that never authenticate, shutdown."""

import json
import logging
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import redis
from flask import Flask
from flask_socketio import disconnect

from app.auth.revocation import REFRESH_SECONDS, revocations
from app.core import runtime
from app.core.extensions import config, socketio
from app.observability import metrics
from app.realtime import emitter
from app.realtime.fanout.direct_socket import DirectSocket
from app.realtime.fanout.event_stream import event_frame
from app.realtime.fanout.frames import CloseReason
from app.realtime.redis_keys import room_of
from app.sockets.connections import Connection, Connections, connections

logger = logging.getLogger(__name__)

ANNOUNCE_SECONDS = 5.0
UNAUTHENTICATED_CHECK_SECONDS = 2.0
LATE_SECONDS = 1.0  # for requests on kept connections at shutdown
MAX_LINGER_SECONDS = 2.0
NOTICES = {
    "expired": ("session:expired", "TOKEN_EXPIRED"),
    "revoked": ("session:revoked", "TOKEN_REVOKED"),
}


def start_checks(app: Flask) -> None:
    """Check this process's connections from now on."""
    runtime.spawn(_repeat, app, REFRESH_SECONDS, end_invalid, 0.0)
    runtime.spawn(_repeat, app, UNAUTHENTICATED_CHECK_SECONDS, end_unauthenticated)
    runtime.spawn(_repeat, app, ANNOUNCE_SECONDS, app.extensions["connections"].announce, 0.0)
    runtime.spawn(_repeat, app, REFRESH_SECONDS, socketio.server.manager.check_memory)
    runtime.spawn(_repeat, app, REFRESH_SECONDS, app.extensions["room_scripts"].connect, 0.0)


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
    if connection.stream is not None:
        event, code = NOTICES[reason]
        connection.stream.end(CloseReason.SESSION_ENDED, event_frame(event, json.dumps({"code": code}).encode()))
        return
    if reason in NOTICES:
        event, code = NOTICES[reason]
        socketio.server.emit(event, {"code": code}, to=connection.sid, ignore_queue=True)
    engine_socket = socketio.server.eio.sockets.get(_engine_sid(connection))
    disconnect(connection.sid, namespace="/")
    if engine_socket is not None:
        connections().ended.append(engine_socket)
        if reason not in NOTICES:
            _close_ended()


def record_disconnect(connection: Connection, reason: str) -> None:
    """Log and record that a connection has left its room."""
    if connection.protocol_id is None:
        return
    left = {"sid": connection.sid, "room": room_of(connection.protocol_id), "reason": str(reason)}
    logger.info("socket.disconnected", extra=left)
    try:
        emitter.record_disconnect(connection.protocol_id, connection.name)
    except redis.RedisError as error:
        logger.warning("disconnect.record_failed", extra={"sid": connection.sid, "error": str(error)})


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
        if connection.stream is None and engine_sid not in sockets:
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


def disconnect_all(here: Connections, seconds: float) -> None:
    """At shutdown: close all connections, spread over `seconds`, so that clients reconnect to other processes."""
    reason = CloseReason.SERVER_SHUTDOWN
    sockets, streams = list(socketio.server.eio.sockets.values()), [each.stream for each in here.all() if each.stream]
    logger.info("sockets.disconnected", extra={"connections": len(sockets), "streams": len(streams)})
    ends = [partial(each.close, wait=False, abort=True, reason=reason) for each in sockets]
    ends += [partial(each.end, reason) for each in streams]
    random.shuffle(ends)
    began = time.monotonic()
    for number, end_connection in enumerate(ends):
        runtime.sleep(max(0.0, began + seconds * number / len(ends) - time.monotonic()))
        end_connection()
    runtime.sleep(max(0.0, began + min(seconds, LATE_SECONDS) - time.monotonic()))
    for late in [each.stream for each in here.all() if each.stream]:  # opened meanwhile on a kept connection
        late.end(reason)
    deadline = time.monotonic() + MAX_LINGER_SECONDS
    while DirectSocket.lingering and time.monotonic() < deadline:  # the last close frames are still unsent
        runtime.sleep(0.05)
