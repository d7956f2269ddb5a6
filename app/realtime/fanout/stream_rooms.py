"""The event streams of each room in this process: who receives which event, and who needs the room's state again.

A stream begins with the state, whose `seq` covers all events up to it, also those that still wait in the room's queue.
It then receives each event with the next number. When the next number is missing, an event was dropped or lost: all
streams of the room get one new state, and skip the events that it covers.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from app.core import runtime
from app.core.errors import DomainError
from app.observability import metrics
from app.realtime.fanout.delivery import RoomRecipients, YieldingWriter
from app.realtime.fanout.event_stream import EventStream, chunk
from app.realtime.fanout.frames import CloseReason
from app.realtime.fanout.subscriber import Subscriber
from app.realtime.redis_keys import channel_of, room_of

logger = logging.getLogger(__name__)

MAX_RECENT = 200  # events; a room has ten a second, and a snapshot may take ten seconds
STATES_PER_YIELD = 50
CONCURRENT_SNAPSHOTS = 8
RETRY_SECONDS = (0.25, 0.5, 1.0, 2.0, 4.0)
AGAIN_SECONDS = 0.25

NumberedEvent = tuple[int, bytes]


@dataclass(frozen=True)
class State:
    """A room's snapshot as a message, for all streams that need it at this moment."""

    seq: int
    message: bytes

    @cached_property
    def chunked(self) -> bytes:
        return chunk(self.message)


class StreamRoom:
    """The streams of one room, or of its batched view.

    Each is in one of three groups: `live` ones have received everything up to `last_seq`; `catching_up` ones have a
    state that covers events up to a higher number, and skip them; `awaiting` ones need a state, and `recent` holds the
    events that arrive until they have it.
    """

    def __init__(self, view: str) -> None:
        self.view = view
        self.live: dict[EventStream, None] = {}
        self.catching_up: dict[EventStream, int] = {}
        self.awaiting: dict[EventStream, None] = {}
        self.recent: deque[NumberedEvent] = deque(maxlen=MAX_RECENT)
        self.last_seq = 0
        self.is_refreshing = False
        self._recipients: dict[bool, RoomRecipients] = {}

    def __len__(self) -> int:
        return len(self.live) + len(self.catching_up) + len(self.awaiting)

    def recipients(self, is_chunked: bool) -> RoomRecipients:
        """The live streams with this encoding."""
        if is_chunked not in self._recipients:
            self._recipients[is_chunked] = RoomRecipients(each for each in self.live if each.is_chunked == is_chunked)
        return self._recipients[is_chunked]

    def discard(self, stream: EventStream) -> None:
        self.live.pop(stream, None)
        self.catching_up.pop(stream, None)
        self.awaiting.pop(stream, None)
        self._recipients = {}
        if not self.awaiting:
            self.recent.clear()

    def await_state(self, streams: Iterable[EventStream]) -> None:
        """Let these streams wait for a new state."""
        for stream in tuple(streams):
            self.discard(stream)
            self.awaiting[stream] = None

    def expects(self, seq: int) -> bool:
        """Whether this is the next event for all streams that are not awaiting a state."""
        return seq == self.last_seq + 1 and not self.catching_up

    def admit(self, seq: int) -> bool:
        """Make those streams live whose next event this is; False if some stream has missed an event."""
        is_missed = bool(self.live) and seq != self.last_seq + 1
        for stream, covered in list(self.catching_up.items()):
            if seq == covered + 1:
                del self.catching_up[stream]
                self.live[stream] = None
                self._recipients = {}
            is_missed |= seq > covered + 1
        return not is_missed

    def take(self, event: NumberedEvent) -> None:
        self.last_seq = event[0]
        if self.awaiting:
            self.recent.append(event)

    def start(self, stream: EventStream, state: State) -> bool:
        """Send a state and the events after it; False if an event after it is missing already."""
        stream.write_state(state.chunked if stream.is_chunked else state.message)
        covered = state.seq
        for seq, message in tuple(self.recent):  # a failed write may clear it
            if seq == covered + 1:
                stream.write_message(message)
                covered = seq
            elif seq > covered:
                return False
        if stream in self.awaiting:  # it may have ended
            self.discard(stream)
            if covered == self.last_seq:
                self.live[stream] = None
            else:
                self.catching_up[stream] = covered
        return True


class StreamRooms:
    """The rooms with streams. `read_state(view)` reads a room's snapshot; many callers at once share one reading."""

    read_state: Callable[[str], State]

    def __init__(self, subscriber: Subscriber, writer: YieldingWriter) -> None:
        self._subscriber, self._writer = subscriber, writer
        self._rooms: dict[str, StreamRoom] = {}
        self._reading = threading.Semaphore(CONCURRENT_SNAPSHOTS)

    def has(self, view: str) -> bool:
        return view in self._rooms

    def join(self, view: str, stream: EventStream) -> None:
        """Hold the room's events for a stream from now on. Raises DependencyUnavailable."""
        self._subscriber.subscribe_and_wait(channel_of(view), stream.sid)
        self._rooms.setdefault(view, StreamRoom(view)).awaiting[stream] = None

    def start(self, view: str, stream: EventStream, state: State) -> None:
        """Send an opened stream its first state."""
        room = self._rooms.get(view)
        if room is None or stream not in room.awaiting:
            stream.abort(CloseReason.TRANSPORT_ERROR)
        elif not room.start(stream, state):
            self._refresh(room, "gap")
        elif room.is_refreshing:  # the state may have been read before what made this necessary
            room.await_state([stream])
        metrics.STREAM_STATES.labels("opened").inc()

    def discard(self, view: str, stream: EventStream) -> None:
        """Send a stream nothing more. Does not block."""
        room = self._rooms.get(view)
        if room is not None:
            room.discard(stream)
            if not room:
                del self._rooms[view]

    def leave(self, view: str, stream: EventStream) -> bool:
        """End a stream's subscription; returns whether it was the last one of the room."""
        self.discard(view, stream)
        return self._subscriber.unsubscribe(channel_of(view), stream.sid)

    def deliver(self, view: str, events: Iterable[NumberedEvent]) -> None:
        """Send events in order to the room's streams, yielding now and then."""
        room = self._rooms.get(view)
        if room is None:
            return
        messages: list[bytes] = []
        for event in events:
            if not room.expects(event[0]):
                self._write(room, messages)
                messages = []
                if not room.admit(event[0]):
                    self._refresh(room, "gap")
            room.take(event)
            messages.append(event[1])
        self._write(room, messages)

    def _write(self, room: StreamRoom, messages: list[bytes]) -> None:
        if not messages:
            return
        data = b"".join(messages)
        for is_chunked in (True, False):
            if (recipients := room.recipients(is_chunked)).sockets:
                metrics.FANOUT_DELIVERIES.labels("sse").inc(len(messages) * len(recipients.sockets))
                encoded = chunk(data) if is_chunked else data
                self._writer.write(encoded, recipients, partial(room.recipients, is_chunked))

    def resync(self, views: Iterable[str]) -> None:
        """Send the state again to all streams of these rooms, which may have missed events."""
        for view in views:
            if (room := self._rooms.get(view)) is not None:
                self._refresh(room, "resync")

    def _refresh(self, room: StreamRoom, cause: str) -> None:
        room.await_state((*room.live, *room.catching_up))
        if not room.is_refreshing:
            room.is_refreshing = True
            runtime.spawn(self._refresh_now, room, cause)

    def _refresh_now(self, room: StreamRoom, cause: str) -> None:
        """Send all awaiting streams one new state, until none awaits one; after five failures end them."""
        logger.info("streams.resynced", extra={"room": room_of(room.view), "streams": len(room), "cause": cause})
        pauses = iter(RETRY_SECONDS)
        try:
            while waiting := [each for each in room.awaiting if each.is_open]:
                state = self._read_state(room.view)
                if state is not None:
                    self._start_all(room, waiting, state, cause)
                    runtime.sleep(AGAIN_SECONDS)
                elif (pause := next(pauses, None)) is not None:
                    runtime.sleep(pause)
                else:
                    for stream in waiting:
                        stream.end(CloseReason.TRANSPORT_ERROR)
        finally:
            room.is_refreshing = False

    def _read_state(self, view: str) -> State | None:
        try:
            with self._reading:
                return self.read_state(view)
        except Exception as error:
            is_outage = isinstance(error, DomainError)
            details: dict[str, Any] = {"room": room_of(view), "error": str(error)}
            logger.warning("stream_state.failed", exc_info=None if is_outage else error, extra=details)
            return None

    def _start_all(self, room: StreamRoom, waiting: list[EventStream], state: State, cause: str) -> None:
        metrics.STREAM_STATES.labels(cause).inc(len(waiting))
        for number, stream in enumerate(waiting, 1):
            if stream in room.awaiting:
                room.start(stream, state)
            if number % STATES_PER_YIELD == 0:
                runtime.sleep(0)
