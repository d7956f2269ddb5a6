"""What a room's readers see: threads, asynchronous code and callbacks, all of them the newest state."""

import asyncio
import threading

import pytest
from tests.support.coroutines import run_in_thread
from tests.support.processes import until

from dashboard_realtime import Room, RoomOptions, RoomState, Status
from scripted_room import FAST, TOKEN, deposit

on_both = pytest.mark.parametrize("transport", ["socketio", "sse"])


def test_a_slow_reader_gets_the_newest_state(server, room) -> None:
    states = room.states()
    next(states)
    for number in range(1, 31):
        server.emit(deposit(10 + number, f"{number}.00", number))
    until(lambda: room.state.pool["version"] == "30", 10, "all events arrived")

    assert next(states).pool["available"] == "30.00"


def test_readers_cannot_change_the_state(room) -> None:
    state = room.state
    for change in (
        lambda: state.pool.update(available="1000000.00"),
        lambda: state["vulnerabilities"].pop("open"),
        lambda: state.__setitem__("seq", "0"),
    ):
        with pytest.raises(TypeError, match="read-only"):
            change()
    state["agents"].append("one of my own")

    assert room.state["agents"] == []
    assert isinstance(room.state, RoomState)


@on_both
def test_async_readers_and_callbacks_see_the_changes(server, transport) -> None:
    seen, events, statuses = [], [], []

    async def on_state(state: RoomState) -> None:
        seen.append(state.pool["available"])

    async def follow() -> None:
        options = RoomOptions(**FAST)
        callbacks = {"on_state": on_state, "on_event": events.append, "on_status": statuses.append}
        async with Room(server.url, TOKEN, "P1", transport=transport, options=options, **callbacks) as room:
            async for state in room.states():
                if state.pool["available"] == "5.00":
                    break
                await asyncio.to_thread(server.emit, deposit(11, "5.00", 1))

    run_in_thread(follow())
    assert seen[0] == "0.00"
    assert [each["seq"] for each in events] == ["11"]
    assert statuses == [Status.LIVE, Status.CLOSED]


def test_closing_ends_every_reader(server, room) -> None:
    ended = threading.Event()

    def read() -> None:
        for _ in room.states():
            pass
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    room.close()
    assert ended.wait(10)
    assert room.status is Status.CLOSED


def test_a_callback_that_fails_ends_nothing(server, make_room, caplog) -> None:
    def fail(_: object) -> None:
        raise ValueError("a mistake of the reader")

    room = make_room(on_state=fail, on_event=fail)
    until(lambda: room.status is Status.LIVE, 10, "it is live")
    server.emit(deposit(11, "1.00", 1))
    until(lambda: room.state.pool["available"] == "1.00", 5, "it goes on")
    assert "room.callback_failed" in caplog.messages


def test_a_stream_adopts_each_state_that_the_server_sends(server, transport, make_room) -> None:
    room = make_room(transport="sse")
    until(lambda: room.status is Status.LIVE, 10, "it is live")
    server.state |= {"seq": "50", "protocol": {**server.state["protocol"], "name": "one\u2028name"}}
    server.send_state()
    until(lambda: room.state.seq == "50", 5, "the state was adopted")
    server.emit(deposit(51, "1.00", 1))
    until(lambda: room.state.pool["available"] == "1.00", 5, "the stream goes on")

    assert room.state.protocol["name"] == "one\u2028name"
    assert server.fetches == []
