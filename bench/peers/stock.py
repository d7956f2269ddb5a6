"""Flask-SocketIO as its documentation sets it up, on eventlet: `python stock.py REDIS_URL` prints its port."""

import sys
import warnings

warnings.filterwarnings("ignore")

import eventlet  # noqa: E402

eventlet.monkey_patch()

import eventlet.wsgi  # noqa: E402
from flask import Flask  # noqa: E402
from flask_socketio import SocketIO, join_room  # noqa: E402


def main():
    app = Flask(__name__)
    socketio = SocketIO(app, message_queue=sys.argv[1], async_mode="eventlet", ping_interval=300, ping_timeout=200)
    socketio.on_event("connect", lambda: join_room("bench"))
    listener = eventlet.listen(("127.0.0.1", 0), backlog=2048)
    print(listener.getsockname()[1], flush=True)
    eventlet.wsgi.server(listener, app, log_output=False, max_size=20_000)


main()
