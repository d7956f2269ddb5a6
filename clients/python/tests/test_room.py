"""A room stays equal to `/state` although no event is replayed (docs/clients.md, "The algorithm")."""

import itertools
import time

import pytest
from tests.support.api import mint
from tests.support.processes import until

from dashboard_realtime import RoomRefused, Status
from scripted_room import TOKEN, deposit, progress

KEY = "a key of forty characters that signs tokens"


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
