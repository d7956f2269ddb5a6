"""This project's fan-out in a web process that does nothing else: `python ours.py REDIS_URL` prints its port."""

import sys

from app.core import runtime

runtime.patch()

from flask import Flask, request  # noqa: E402
from flask_socketio import SocketIO  # noqa: E402

from app.http.server.serving import serve  # noqa: E402
from app.realtime.fanout.manager import RoomManager  # noqa: E402
from app.realtime.scripts import scripts_at  # noqa: E402


def main():
    app = Flask(__name__)
    manager = RoomManager(sys.argv[1], scripts_at(sys.argv[1]))
    socketio = SocketIO(
        app,
        client_manager=manager,
        async_mode="eventlet",
        ping_interval=300,
        ping_timeout=200,
        manage_session=False,
    )
    socketio.on_event("connect", lambda: manager.enter_room(request.sid, "/", "protocol:bench"))
    listener = runtime.listen("127.0.0.1", 0)
    print(listener.getsockname()[1], flush=True)
    serve(app, listener, grace_seconds=1)


main()
