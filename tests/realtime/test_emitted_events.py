"""The marks of emitted events are written in the background, also after one of them failed."""

import threading
from types import SimpleNamespace

from app.realtime import emitted_events
from app.realtime.emitted_events import EmittedEvents
from tests.support.processes import until


def test_a_mark_that_fails_does_not_keep_the_next_from_being_written(app, monkeypatch) -> None:
    monkeypatch.setattr(emitted_events, "MARK_SECONDS", 0.01)
    monkeypatch.setattr(emitted_events, "MAX_MARKS", 1)
    asked: list[list[int]] = []

    def mark(ids: list[int]) -> None:
        asked.append(ids)
        if len(asked) == 1:
            raise RuntimeError

    emitted = EmittedEvents(app, mark)
    emitted.add([SimpleNamespace(id=number, protocol_id="P", position=number) for number in (1, 2, 3)])

    until(lambda: not emitted.awaiting_mark, 10, "all are done with")
    assert sorted(each for ids in asked for each in ids) == [1, 2, 3]


def test_without_a_thread_to_mark_them_events_are_left_to_the_sweep_and_the_next_marked(app, monkeypatch) -> None:
    """The events were stored: that the system gives no more threads must not fail the request."""
    monkeypatch.setattr(emitted_events, "MARK_SECONDS", 0.01)
    marked: list[int] = []
    emitted = EmittedEvents(app, marked.extend)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        emitted.add([SimpleNamespace(id=1, protocol_id="P", position=1)])
    assert not emitted.awaiting_mark
    emitted.add([SimpleNamespace(id=2, protocol_id="P", position=2)])

    until(lambda: not emitted.awaiting_mark, 10, "the next is done with")
    assert marked == [2]
