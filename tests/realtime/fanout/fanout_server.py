"""A web process with only the fan-out, started by the tests.

`python fanout_server.py REDIS_URL [PING_INTERVAL PING_TIMEOUT]` prints its port.
"""

import logging
import sys

from app.core import runtime

runtime.patch()

import eventlet  # noqa: E402
import eventlet.wsgi  # noqa: E402
from flask import Flask, request  # noqa: E402
from flask_socketio import SocketIO  # noqa: E402

from app.core.errors import DomainError  # noqa: E402
from app.realtime.fanout.manager import RoomManager  # noqa: E402
from app.realtime.scripts import scripts_at  # noqa: E402


def build(redis_url, ping_interval=25, ping_timeout=20):
    app = Flask(__name__)
    manager = RoomManager(redis_url, scripts_at(redis_url))
    socketio = SocketIO()
    joined = {}

    @socketio.on("connect")
    def connect(auth=None):
        if auth and auth.get("room"):
            join(auth["room"])
            runtime.sleep(auth.get("pause", 0))

    @socketio.on("join")
    def join(room):
        if joined.get(request.sid):
            manager.leave_room(request.sid, "/", joined[request.sid])
        try:
            manager.enter_room(request.sid, "/", room)
        except DomainError as error:
            return {"ok": False, "code": error.code}
        joined[request.sid] = room
        return {"ok": True}

    @socketio.on("leave")
    def leave(room):
        manager.leave_room(request.sid, "/", room)
        joined.pop(request.sid, None)
        return {"ok": True}

    @socketio.on("note")
    def note(protocol_id, seq):
        manager.note_seq(protocol_id, seq)
        return {"ok": True}

    @socketio.on("echo")
    def echo(text):
        return text

    @socketio.on("send")
    def send(sid, text):
        socketio.emit("sent", {"text": text}, to=sid)

    @socketio.on("broadcast")
    def broadcast(room, data, skip_sid):
        socketio.emit("broadcasted", data, to=room, skip_sid=skip_sid)

    @socketio.on("binary")
    def binary(sid):
        socketio.emit("bytes", b"\x00\xff", to=sid)

    @socketio.on("question")
    def question(sid):
        socketio.emit("asked", {}, to=sid, callback=lambda answer: socketio.emit("answered", answer, to=sid))

    @socketio.on("sid")
    def sid():
        return request.sid

    @socketio.on("disconnect")
    def disconnect(reason):
        joined.pop(request.sid, None)

    socketio.init_app(
        app,
        client_manager=manager,
        async_mode="eventlet",
        cors_allowed_origins="*",
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
    )
    return app


def main():
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    settings = [int(text) for text in sys.argv[2:4]]
    app = build(sys.argv[1], *settings)
    listener = runtime.listen("127.0.0.1", 0)
    print(listener.getsockname()[1], flush=True)
    eventlet.wsgi.server(listener, app, log_output=False, max_size=10_000)


if __name__ == "__main__":
    main()
