"""Connections that the server ends: expired and revoked tokens, floods, and those that never say who they are."""

import logging
import time
from typing import Any

import redis
from flask import Flask
from flask_socketio import disconnect

from app.auth.revocation import REFRESH_SECONDS, revocations
from app.config import Config
from app.core import runtime
from app.core.extensions import config, socketio
from app.observability import metrics
from app.sockets import presence
from app.sockets.connections import Connection, connections

logger = logging.getLogger(__name__)

PRESENCE_SECONDS = 5.0
UNAUTHENTICATED_CHECK_SECONDS = 2.0
FAREWELL_SECONDS = 2.0
NEWS = {
    "expired": ("session:expired", "TOKEN_EXPIRED"),
    "revoked": ("session:revoked", "TOKEN_REVOKED"),
}


_told_to_go: list[Any] = []


def keep_watch(app: Flask, settings: Config) -> None:
    """Watch this process's connections from now on."""
    runtime.spawn(_every, app, REFRESH_SECONDS, end_invalid)
    strangers = UnauthenticatedReaper(settings.handshake_seconds)
    runtime.spawn(_every, app, UNAUTHENTICATED_CHECK_SECONDS, strangers.end)
    runtime.spawn(_every, app, PRESENCE_SECONDS, _announce, 0.0)
    runtime.spawn(_every, app, REFRESH_SECONDS, socketio.server.manager.check_memory)


def _every(app: Flask, seconds: float, act: Any, first_pause: float | None = None) -> None:
    runtime.sleep(seconds if first_pause is None else first_pause)
    while True:
        try:
            with app.app_context():
                act()
        except redis.RedisError as error:
            logger.warning("watch.failed", extra={"act": act.__name__, "error": str(error)})
        except Exception:  # the next round tries again
            logger.exception("watch.failed", extra={"act": act.__name__})
        runtime.sleep(seconds)


def end_invalid() -> int:
    """End the connections whose token has expired or was revoked; returns how many."""
    _hang_up()
    known, expired_at = revocations(), time.time() - config().token_leeway
    known.refresh()
    late = connections().where(lambda each: each.principal.expires_at <= expired_at)
    revoked = connections().where(lambda each: known.is_revoked(each.principal))
    for reason, ended in (("expired", late), ("revoked", revoked)):
        for connection in ended:
            end(connection, reason)
    return len(late) + len(revoked)


def end(connection: Connection, reason: str) -> None:
    """Tell the client why, where it can do something about it, and disconnect it.

    A client that is told to go hangs up; where it does not, the next round does.
    """
    logger.info("session.ended", extra={"sid": connection.sid, "who": connection.name, "reason": reason})
    metrics.SESSIONS_ENDED.labels(reason).inc()
    if reason in NEWS:
        event, code = NEWS[reason]
        socketio.emit(event, {"code": code}, to=connection.sid)
    engine_socket = socketio.server.eio.sockets.get(_engine_sid(connection))
    disconnect(connection.sid, namespace="/")
    if engine_socket is not None:
        _told_to_go.append(engine_socket)
        if reason not in NEWS:
            _hang_up()


def _hang_up() -> None:
    leaving, _told_to_go[:] = list(_told_to_go), []
    for engine_socket in leaving:
        engine_socket.close(wait=False, abort=True, reason="told to go")


class UnauthenticatedReaper:
    """Engine.IO connections without a Socket.IO session: each has a few seconds to authenticate.

    Also drops what is left of a connection that was lost in the middle of its own handshake.
    """

    def __init__(self, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._since: dict[str, float] = {}

    def end(self) -> int:
        """End those whose time is up; returns how many."""
        _forget_lost()
        now, engine = time.monotonic(), socketio.server.eio
        known = {_engine_sid(each) for each in connections().all()}
        present = [sid for sid in engine.sockets if sid not in known]
        self._since = {sid: self._since.get(sid, now) for sid in present}
        late = [sid for sid, since in self._since.items() if now - since > self._patience]
        for sid in late:
            self._end(engine.sockets.get(sid))
            engine.sockets.pop(sid, None)
        if late:
            logger.info("sockets.never_authenticated", extra={"connections": len(late)})
        return len(late)

    def _end(self, engine_socket: Any) -> None:
        if engine_socket is not None and not engine_socket.closed:
            metrics.SESSIONS_ENDED.labels("handshake").inc()
            engine_socket.close(wait=False, abort=True, reason="handshake timeout")


def _forget_lost() -> None:
    """A connection that broke while its connect handler ran has no end that anybody told of."""
    sockets, manager = socketio.server.eio.sockets, socketio.server.manager
    for connection in connections().all():
        engine_sid = _engine_sid(connection)
        if engine_sid is None or engine_sid not in sockets:
            connections().close(connection.sid)
            if engine_sid is not None:
                manager.disconnect(connection.sid, "/", ignore_queue=True)


def _engine_sid(connection: Connection) -> Any:
    return socketio.server.manager.eio_sid_from_sid(connection.sid, "/")


def _announce() -> None:
    try:
        presence.announce(connections())
    except redis.RedisError as error:
        logger.warning("presence.not_announced", extra={"error": str(error)})


def disconnect_all(seconds: float) -> None:
    """Before this process leaves: have its connections reconnect elsewhere, spread over `seconds`."""
    everyone = list(socketio.server.eio.sockets.values())
    logger.info("sockets.sent_away", extra={"connections": len(everyone)})
    for engine_socket in everyone:
        engine_socket.close(wait=False, abort=True, reason="server leaves")
        runtime.sleep(seconds / len(everyone))
    last = time.monotonic() + FAREWELL_SECONDS
    while socketio.server.eio.lingering and time.monotonic() < last:  # else the last ones' close frames may be lost
        runtime.sleep(0.05)
