"""The open event streams of this process: from the request to the end of the response.

A stream is a connection like a Socket.IO one (app/sockets): it counts towards the same limits, is ended by the same
checks and is in the same presence. No greenlet waits for it while it is idle.
"""

import itertools
import logging
import time
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any

import msgspec
import uuid_utils.compat as uuid
from flask import Flask, Response, g

from app.auth.tokens import Principal
from app.core import runtime
from app.core.concurrency import SingleFlight
from app.core.extensions import socketio
from app.realtime import emitter
from app.realtime.fanout.engine_socket import log_abuse
from app.realtime.fanout.event_stream import HEARTBEAT, EventStream, event_frame
from app.realtime.fanout.manager import RoomManager
from app.realtime.fanout.stream_rooms import State
from app.realtime.redis_keys import room_of
from app.snapshot import service as snapshot
from app.sockets import sessions
from app.sockets.connections import Connection, Connections
from app.streams.routes import EVENT_STREAM, STREAM_HEADERS

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10  # 15 at most, also in a process that is late
WRITES_PER_YIELD = 250


class _Numbered(msgspec.Struct):
    seq: str


_decode = msgspec.json.Decoder(_Numbered).decode
_states: SingleFlight[State] = SingleFlight()


def init_app(app: Flask) -> None:
    """Serve streams in this process, after its sockets. The stock fan-out has none."""
    if isinstance(socketio.server.manager, RoomManager):
        app.extensions["streams"] = streams = Streams(app)
        runtime.spawn(streams.send_heartbeats)


class Stream:
    """The owner of one stream's socket: its place in a room, and what happens at its end."""

    __slots__ = ("_streams", "beat", "socket", "view")

    def __init__(self, streams: "Streams", view: str, beat: set[EventStream]) -> None:
        self._streams, self.view, self.beat = streams, view, beat
        self.socket = EventStream(f"stream-{uuid.uuid4().hex}", self)

    def connection_ended(self, reason: str) -> None:
        self._streams.end(self, reason)


class Streams:
    """Opens and ends the streams of this process."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._connections: Connections = app.extensions["connections"]
        self._manager: RoomManager = socketio.server.manager
        self._rooms = self._manager.streams
        self._rooms.read_state = self._read_state_again
        self._beats: list[set[EventStream]] = [set() for _ in range(HEARTBEAT_SECONDS)]
        self._next_beat = itertools.cycle(self._beats)

    def open(self, principal: Principal, address: str, protocol_id: str, view: str) -> Response:
        """The response to a caller that may read the room. Raises DomainError, redis.RedisError, SQLAlchemyError."""
        stream = g.stream = Stream(self, view, next(self._next_beat))
        connection = self._connections.open(stream.socket.sid, principal, address, stream.socket)
        self._manager.join_stream(view, stream.socket)
        state = read_state(view)
        self._manager.note_seq(view, str(state.seq))
        emitter.record_return(protocol_id, connection.name)
        connection.protocol_id, connection.room = protocol_id, room_of(view)
        return _StreamResponse(self, stream, state)

    def begin(self, stream: Stream, state: State, sock: Any, head: bytes, *, is_chunked: bool) -> None:
        stream.socket.open(sock, head, is_chunked=is_chunked)
        self._rooms.start(stream.view, stream.socket, state)
        if stream.socket.is_open:
            stream.beat.add(stream.socket)

    def end(self, stream: Stream, reason: str) -> None:
        """Forget a stream. Does not block: the hub calls it."""
        connection = self._connections.close(stream.socket.sid)
        self._rooms.discard(stream.view, stream.socket)
        stream.beat.discard(stream.socket)
        if connection is not None:
            runtime.spawn(self._leave, stream, connection, reason)

    def _leave(self, stream: Stream, connection: Connection, reason: str) -> None:
        with self._app.app_context():
            self._manager.leave_stream(stream.view, stream.socket)
            log_abuse(connection.sid, reason)
            sessions.record_disconnect(connection, reason)

    def send_heartbeats(self) -> None:
        """Send a comment to each stream every ten seconds, a tenth of them each second. Runs for ever."""
        for second in itertools.count(1):
            started = time.monotonic()
            for number, stream in enumerate(list(self._beats[second % HEARTBEAT_SECONDS]), 1):
                if stream.backlog is None:
                    stream.write_message(HEARTBEAT)
                if number % WRITES_PER_YIELD == 0:
                    runtime.sleep(0)
            runtime.sleep(max(0.0, started + 1.0 - time.monotonic()))

    def _read_state_again(self, view: str) -> State:
        with self._app.app_context():
            return read_state(view)


def read_state(view: str) -> State:
    """A room's snapshot; concurrent callers share one. Raises DomainError, redis.RedisError, SQLAlchemyError."""

    def read_now() -> State:
        body, _ = snapshot.render(view.removeprefix("~"), batches=view.startswith("~"))
        seq = int(_decode(body.plain).seq)
        return State(seq, event_frame("state", body.plain, seq))

    return _states.share(view, read_now)


class _StreamResponse(Response):
    """When it is sent, it takes the connection over from the WSGI server."""

    automatically_set_content_length = False

    def __init__(self, streams: Streams, stream: Stream, state: State) -> None:
        super().__init__(content_type=EVENT_STREAM, headers=STREAM_HEADERS)
        self._streams, self._stream, self._state = streams, stream, state

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        headers = self.get_wsgi_headers(environ).to_wsgi_list()
        start_response(self.status, headers)  # for middleware; the server sends nothing
        is_chunked = environ["SERVER_PROTOCOL"] != "HTTP/1.0"
        lines = [*headers, ("Date", formatdate(usegmt=True)), ("Connection", "close")]
        lines += [("Transfer-Encoding", "chunked")] if is_chunked else []
        head = "HTTP/1.1 200 OK\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines) + "\r\n"
        sock = runtime.detach_socket(environ)
        self._streams.begin(self._stream, self._state, sock, head.encode("latin-1"), is_chunked=is_chunked)
        return ()
