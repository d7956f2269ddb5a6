"""The event streams of the scripted server: frames, whole or in pieces, and streams that end in the middle."""

import contextlib
import json
import queue
import socket
import threading
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any

from clients.conformance.room import Event, Room


class Ending(Enum):
    """How a stream ends: as a complete response, or with its TCP connection."""

    COMPLETE = auto()
    CUT = auto()


def frame(event_type: str, identifier: str | None, data: Any) -> bytes:
    lines = [f"event: {event_type}", *([] if identifier is None else [f"id: {identifier}"])]
    return "\n".join([*lines, f"data: {json.dumps(data, ensure_ascii=False)}", "", ""]).encode()


class Streams:
    """`chunk_bytes`: the size of the pieces that frames are written in; `line_end`: what ends their lines."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._open: list[queue.SimpleQueue[bytes | Ending]] = []
        self._lock = threading.Lock()
        self.chunk_bytes: int | None = None
        self.line_end = "\n"

    @property
    def count(self) -> int:
        return len(self._open)

    def body(self, connection: socket.socket) -> Iterator[bytes]:
        """One stream, which begins with the state."""
        waiting: queue.SimpleQueue[bytes | Ending] = queue.SimpleQueue()
        with self._lock:
            for piece in self._pieces(self._state()):
                waiting.put(piece)
            self._open.append(waiting)
        try:
            while isinstance(piece := waiting.get(), bytes):
                yield piece
            if piece is Ending.CUT:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        finally:
            with self._lock, contextlib.suppress(ValueError):
                self._open.remove(waiting)

    def _state(self) -> bytes:
        state = self._room.state()
        return frame("state", state["seq"], state)

    def send(self, event: Event) -> None:
        self.write(frame(event["eventType"], event["seq"], event))

    def resync(self) -> None:
        self.write(self._state())

    def write(self, data: bytes) -> None:
        self._put(self._pieces(data))

    def _put(self, pieces: list[bytes] | list[Ending]) -> None:
        with self._lock:
            for waiting in self._open:
                for piece in pieces:
                    waiting.put(piece)

    def _pieces(self, data: bytes) -> list[bytes]:
        data = data.replace(b"\n", self.line_end.encode())
        size = self.chunk_bytes or len(data)
        return [data[at : at + size] for at in range(0, len(data), size)]

    def end(self, ending: Ending, notice: str | None = None) -> None:
        """End all streams, with a notice such as `session:expired` if there is one."""
        if notice is not None:
            self.write(frame(notice, None, {"code": "TOKEN_EXPIRED"}))
        self._put([ending])
        with self._lock:
            self._open.clear()
