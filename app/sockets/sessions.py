"""Connections that the server ends: expired or revoked tokens, floods, clients that never authenticate, shutdown."""

import logging
import time
from collections.abc import Callable
from typing import Any

import redis
from flask import Flask
from flask_socketio import disconnect

from app.auth.revocation import REFRESH_SECONDS, revocations
from app.config import Config
from app.core import runtime
from app.core.extensions import config, socketio
from app.observability import metrics
from app.realtime.fanout.close_reasons import CloseReason
from app.sockets import presence
from app.sockets.connections import Connection, connections

logger = logging.getLogger(__name__)

PRESENCE_SECONDS = 5.0
UNAUTHENTICATED_CHECK_SECONDS = 2.0
MAX_LINGER_SECONDS = 2.0
NOTICES = {
    "expired": ("session:expired", "TOKEN_EXPIRED"),
    "revoked": ("session:revoked", "TOKEN_REVOKED"),
}


def start_checks(app: Flask, settings: Config) -> None:
    """Check this process's connections from now on."""
    reaper = UnauthenticatedReaper(settings.handshake_seconds)
    runtime.spawn(_repeat, app, REFRESH_SECONDS, end_invalid)
    runtime.spawn(_repeat, app, UNAUTHENTICATED_CHECK_SECONDS, reaper.reap)
    runtime.spawn(_repeat, app, PRESENCE_SECONDS, _announce_presence, 0.0)
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


def end_invalid() -> int:
    """End the connections whose token has expired or was revoked; returns their number."""
    _close_ended()
    known, expired_at = revocations(), time.time() - config().token_leeway
    known.refresh()
    expired = connections().where(lambda each: each.principal.expires_at <= expired_at)
    revoked = connections().where(lambda each: known.is_revoked(each.principal))
    for reason, ended in (("expired", expired), ("revoked", revoked)):
        for connection in ended:
            end(connection, reason)
    return len(expired) + len(revoked)


def end(connection: Connection, reason: str) -> None:
    """Disconnect a client, with a notice where it can act on the reason.

    A client that got a notice closes the transport itself; otherwise the next `end_invalid` closes it.
    """
    logger.info("session.ended", extra={"sid": connection.sid, "client": connection.name, "reason": str(reason)})
    metrics.SESSIONS_ENDED.labels(reason).inc()
    if reason in NOTICES:
        event, code = NOTICES[reason]
        socketio.emit(event, {"code": code}, to=connection.sid)
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


class UnauthenticatedReaper:
    """Closes Engine.IO connections that have no Socket.IO session after a few seconds.

    Also removes sessions whose connection broke during the connect handler.
    """

    def __init__(self, max_seconds: float) -> None:
        self._max_seconds = max_seconds
        self._first_seen: dict[str, float] = {}

    def reap(self) -> int:
        """Close the overdue connections; returns their number."""
        _remove_broken_sessions()
        now, engine = time.monotonic(), socketio.server.eio
        authenticated = {_engine_sid(each) for each in connections().all()}
        unauthenticated = [sid for sid in engine.sockets if sid not in authenticated]
        self._first_seen = {sid: self._first_seen.get(sid, now) for sid in unauthenticated}
        overdue = [sid for sid, first_seen in self._first_seen.items() if now - first_seen > self._max_seconds]
        for sid in overdue:
            engine_socket = engine.sockets.get(sid)
            if engine_socket is not None and not engine_socket.closed:
                metrics.SESSIONS_ENDED.labels("handshake").inc()
                engine_socket.close(wait=False, abort=True, reason=CloseReason.HANDSHAKE_TIMEOUT)
            engine.sockets.pop(sid, None)
        if overdue:
            logger.info("sockets.handshake_timed_out", extra={"connections": len(overdue)})
        return len(overdue)


def _remove_broken_sessions() -> None:
    """python-socketio reports no disconnect for a connection that broke during its connect handler."""
    sockets, manager = socketio.server.eio.sockets, socketio.server.manager
    for connection in connections().all():
        engine_sid = _engine_sid(connection)
        if engine_sid is None or engine_sid not in sockets:
            connections().close(connection.sid)
            if engine_sid is not None:
                manager.disconnect(connection.sid, "/", ignore_queue=True)


def _engine_sid(connection: Connection) -> Any:
    return socketio.server.manager.eio_sid_from_sid(connection.sid, "/")


def _announce_presence() -> None:
    presence.announce(connections())


def disconnect_all(seconds: float) -> None:
    """At shutdown: close all connections, spread over `seconds`, so that clients reconnect to other processes."""
    engine = socketio.server.eio
    engine_sockets = list(engine.sockets.values())
    logger.info("sockets.disconnected", extra={"connections": len(engine_sockets)})
    for engine_socket in engine_sockets:
        engine_socket.close(wait=False, abort=True, reason=CloseReason.SERVER_SHUTDOWN)
        runtime.sleep(seconds / len(engine_sockets))
    deadline = time.monotonic() + MAX_LINGER_SECONDS
    while getattr(engine, "lingering", 0) and time.monotonic() < deadline:  # the last close frames are still unsent
        runtime.sleep(0.05)
