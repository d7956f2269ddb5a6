"""A room stays equal to `/state` although no event is replayed (docs/clients.md, "The algorithm")."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator

import pytest
from tests.support.api import mint
from tests.support.processes import until

from dashboard_realtime import Room, RoomOptions, RoomRefused, RoomState, Status
from scripted_room import ScriptedRoom, deposit, progress

FAST = {"rest": 0.05, "jitter": 0.02, "retry": 0.05, "retry_cap": 0.2, "silence": 0.3, "answer": 0.3}
TOKEN = "T"
KEY = "a key of forty characters that signs tokens"


@pytest.fixture
def server() -> Iterator[ScriptedRoom]:
    with ScriptedRoom() as room:
        yield room


@pytest.fixture
def make_room(server: ScriptedRoom, transport: str) -> Iterator:
    made: list[Room] = []

    def make(token=TOKEN, protocol_id="P1", options=None, **more) -> Room:
        given = RoomOptions(**{**FAST, **(options or {})})
        made.append(
            Room(server.url, token, protocol_id, **{"transport": transport, "options": given, **more}).__enter__()
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def transport() -> str:
    return "socketio"


@pytest.fixture
def room(make_room) -> Room:
    made = make_room()
    until(lambda: made.status is Status.LIVE, 10, "it is live")
    return made


on_both = pytest.mark.parametrize("transport", ["socketio", "sse"])


@on_both
def test_events_change_the_state_in_order_and_only_by_newer_versions(server, room) -> None:
    server.emit(progress(11, 10, 1), progress(12, 20, 2), progress(13, 15, 2), deposit(14, "5.00", 1))
    until(lambda: room.state.pool["available"] == "5.00", 5, "the deposit arrived")

    assert room.state.agent("A1")["progress"] == "20"
    assert room.state["agents"][0]["presence"] == "ONLINE"
    assert room.counters["losses"] == 0


def test_an_agent_that_is_not_held_is_shown_at_once_and_fetched(server, room) -> None:
    server.state |= {
        "seq": "11",
        "agents": [{**progress(11, 10, 1)["data"], "name": "Scanner 1", "type": "RESEARCHER"}],
    }
    server.emit(progress(11, 10, 1))
    until(lambda: room.state.agent("A1"), 5, "it is shown")
    until(lambda: room.state.agent("A1")["name"] == "Scanner 1", 5, "it was fetched")


def test_events_that_arrive_during_the_fetch_are_merged_into_it(server, make_room) -> None:
    def meanwhile() -> None:
        server.emit(deposit(10, "1.00", 1), deposit(11, "2.00", 2))

    server.state["pool"] |= {"version": "1", "available": "1.00", "total": "1.00"}
    server.on_state = meanwhile
    events = []
    room = make_room(on_event=events.append)
    until(lambda: room.state, 10, "the state came")

    assert room.state.pool["available"] == "2.00"
    assert room.status is Status.LIVE
    assert [each["seq"] for each in events] == ["10", "11"]
    assert room.counters == {"snapshots": 1, "losses": 0}


@on_both
@pytest.mark.parametrize("seq", [13, 10, 2], ids=["a jump", "a repetition", "a new numbering"])
def test_a_gap_is_noticed_and_the_state_fetched_again(server, room, seq) -> None:
    statuses = []
    room._on_status = statuses.append
    server.emit(deposit(11, "1.00", 1))
    until(lambda: room.state.pool["version"] == "1", 5, "the first event arrived")
    server.state |= {"seq": str(max(seq, 11)), "pool": {**server.state["pool"], "version": "9", "available": "9.00"}}
    server.emit(progress(seq, 50, 1))
    until(lambda: room.state.pool["available"] == "9.00", 5, "it was fetched again")

    assert room.counters["losses"] >= 1
    assert statuses[:2] == [Status.RESYNCING, Status.LIVE]
    assert room.stale_since is None


def test_the_state_is_fetched_now_and_then_and_costs_nothing_if_unchanged(server, make_room) -> None:
    room = make_room(options={"refresh": 0.1})
    until(lambda: server.not_modified >= 2, 10, "it was fetched again")
    server.state["pool"]["available"] = "3.00"
    until(lambda: room.state.pool["available"] == "3.00", 5, "what no event tells was seen")


@on_both
def test_a_server_that_ends_the_connection_is_joined_again_with_a_new_token(server, make_room) -> None:
    numbers = itertools.count(1)

    async def token() -> str:
        return f"T{next(numbers)}"

    room = make_room(token)
    until(lambda: room.status is Status.LIVE, 10, "it is live")
    server.state |= {"seq": "20", "pool": {**server.state["pool"], "version": "9", "available": "9.00"}}
    server.disconnect()
    until(lambda: room.state.pool["available"] == "9.00" and room.status is Status.LIVE, 10, "it is back")

    tokens = [each["token"] for each in server.handshakes]
    assert len(tokens) == len(set(tokens)) == 2


def test_a_failed_fetch_is_repeated_after_the_time_the_server_asks_for(server, make_room) -> None:
    server.problems = [(503, {"Retry-After": "1"}), (429, {}), (502, {})]
    began = time.monotonic()
    room = make_room()
    until(lambda: room.status is Status.LIVE, 15, "it is live")

    assert len(server.fetches) == 4
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize(("status", "final"), [(401, Status.SIGNED_OUT), (404, Status.ERROR)])
def test_a_state_that_is_refused_for_good_ends_the_room(server, make_room, status, final) -> None:
    server.problems = [(status, {})] * 5
    room = make_room()
    with pytest.raises(RoomRefused) as refused:
        next(iter(room.states()))

    assert refused.value.code == f"CODE_{status}"
    assert room.status is final
    assert len(server.fetches) == 1


@on_both
def test_a_refused_token_ends_the_room_without_another_attempt(server, make_room) -> None:
    server.refusal = ("UNAUTHORIZED", {"code": "UNAUTHORIZED", "detail": "The token has expired."})
    room = make_room()
    with pytest.raises(RoomRefused, match="UNAUTHORIZED"):
        list(room.states())
    time.sleep(0.5)

    assert room.status is Status.SIGNED_OUT
    assert len(server.handshakes) == 1


def test_a_transient_refusal_is_followed_by_another_attempt(server, make_room) -> None:
    server.refusal = ("TOO_MANY_CONNECTIONS", {"code": "TOO_MANY_CONNECTIONS", "detail": "5000 are open."})
    room = make_room()
    until(lambda: len(server.handshakes) > 1, 10, "it has tried again")
    assert room.error.code == "TOO_MANY_CONNECTIONS"
    server.refusal = None
    until(lambda: room.status is Status.LIVE, 10, "it is live")


def test_a_server_that_hangs_is_noticed_and_heard_again(server, room) -> None:
    server.answers_pings = False
    until(lambda: room.status is Status.RECONNECTING, 10, "the silence was noticed")
    assert room.error.code == "SILENT"
    assert room.stale_since is not None
    assert room.state.status is Status.RECONNECTING
    server.answers_pings = True
    server.emit(deposit(11, "1.00", 1))
    until(lambda: room.status is Status.LIVE, 10, "it is heard again")
    assert room.error is None


def test_a_token_is_renewed_before_it_ends(server, make_room) -> None:
    tokens = []

    def token() -> str:
        tokens.append(mint(KEY, "viewer", ttl=4 if len(tokens) < 3 else 3600))
        return tokens[-1]

    room = make_room(token)
    until(lambda: server.renewals, 10, "a new token was sent")

    assert server.renewals[0] in tokens[1:]
    assert len(server.handshakes) == 1
    assert room.status is Status.LIVE


def test_a_token_function_that_fails_is_asked_again(server, make_room) -> None:
    attempts = []

    def token() -> str:
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError("no answer")
        return TOKEN

    room = make_room(token)
    until(lambda: room.status is Status.LIVE, 10, "it is live")
    assert len(attempts) >= 3


def test_another_protocol_can_be_chosen(server, room) -> None:
    room.join("P2")
    until(lambda: room.state and room.state.protocol["id"] == "P2", 5, "it is shown")
    assert room.protocol_id == "P2"
    assert len(server.handshakes) == 1


def test_a_protocol_that_is_refused_does_not_prevent_choosing_another(server, room) -> None:
    room.join("nowhere")
    until(lambda: room.status is Status.ERROR, 5, "it was refused")
    room.join("P2")
    until(lambda: room.status is Status.LIVE, 5, "the other one is live")


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
        async with Room(server.url, "T", "P1", transport=transport, options=options, **callbacks) as room:
            async for state in room.states():
                if state.pool["available"] == "5.00":
                    break
                await asyncio.to_thread(server.emit, deposit(11, "5.00", 1))

    asyncio.run(follow())
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
