"""Rooms over several web processes: delivery, and recovery after a process or Redis was killed."""

from contextlib import suppress

import pytest
import redis

from app.realtime.redis_keys import channel_of
from tests.factories import deposit, make_protocol
from tests.support.js_client import JsClient, JsSocket
from tests.support.processes import TimedOutError, stop, until
from tests.support.stack import Stack, StackMaker

POOL = "bounty_pool:updated"
MANY = 12


@pytest.fixture(scope="module")
def shared_pair(make_shared_stack: StackMaker) -> Stack:
    return make_shared_stack(webs=2)


@pytest.fixture
def pair(shared_pair: Stack) -> Stack:
    """A system with two web processes behind one port."""
    shared_pair.wait_until_whole()
    return shared_pair


def watchers(stack: Stack, js: JsClient, protocol_id: str) -> list[JsSocket]:
    more = {"reconnection": True, "reconnectionDelay": 100, "reconnectionDelayMax": 500}
    return [stack.watch(js, protocol_id, **more) for _ in range(MANY)]


def listeners(stack: Stack, protocol_id: str) -> int | None:
    """The number of web processes subscribed to the room; None while Redis is down."""
    try:
        with stack.redis() as client:
            return client.pubsub_shardnumsub(channel_of(protocol_id))[0][1]
    except redis.RedisError:
        return None


def connects(watcher: JsSocket) -> int:
    return sum(event.name == "$connect" for event in watcher.received)


@pytest.mark.slow
def test_an_event_reaches_members_on_every_web_process_once(pair: Stack, js: JsClient) -> None:
    protocol_id = make_protocol(pair.api)
    members = watchers(pair, js, protocol_id)
    assert listeners(pair, protocol_id) == 2, "the kernel gave all connections to one process"

    deposit(pair.api, protocol_id, "1")
    deposit(pair.api, protocol_id, "2")

    for member in members:
        assert [event.data["amount"] for event in member.wait_until_count(2)] == ["1.00", "2.00"]


@pytest.mark.slow
def test_metrics_of_each_web_process_include_the_counts_of_all(pair: Stack, js: JsClient) -> None:
    watchers(pair, js, make_protocol(pair.api))

    def is_whole_in_each() -> bool:
        """Ask several times: the kernel gives each new connection to one of the two."""
        return {pair.metric("dashboard_sockets") for _ in range(6)} == {float(MANY)}

    until(is_whole_in_each, 20, "each process counts the connections of both")


@pytest.mark.slow
def test_two_beats_and_a_killed_one_change_nothing_for_the_room(pair: Stack, js: JsClient) -> None:
    protocol_id = make_protocol(pair.api)
    member = pair.watch(js, protocol_id)
    second = pair.run_part("beat")
    with pair.emissions() as emissions:
        for _ in range(25):
            deposit(pair.api, protocol_id, "1")
        pair.kill("beat")
        events = member.wait_until_count(25, 30, POOL)

    stop(second)
    assert [event.payload["seq"] for event in events] == [str(n) for n in range(1, 26)]
    assert emissions.most_a_second(protocol_id) <= 10


@pytest.mark.slow
def test_after_redis_was_killed_events_flow_again_and_no_client_stays_stale(pair: Stack, js: JsClient) -> None:
    protocol_id = make_protocol(pair.api)
    members = watchers(pair, js, protocol_id)
    deposit(pair.api, protocol_id, "1")
    for member in members:
        member.wait_for_event(POOL, amount="1.00")

    pair.kill("redis")
    until(lambda: all(connects(each) >= 2 for each in members), 30, "all members have reconnected")
    until(lambda: listeners(pair, protocol_id) == 2, 30, "both web processes listen again")
    amounts = [1]

    def all_get_the_next_deposit() -> bool:
        """Not yet, if one had come back to a process that noticed the loss later, and so sends it away once more."""
        amounts.append(amounts[-1] + 1)
        deposit(pair.api, protocol_id, str(amounts[-1]))
        with suppress(TimedOutError):
            return all(member.wait_for_event(POOL, 5, amount=f"{amounts[-1]}.00") for member in members)
        return False

    until(all_get_the_next_deposit, 30, "events reach everybody again")
    state = pair.api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)
    assert state["pool"]["total"] == f"{sum(amounts)}.00"
    assert int(state["seq"]) >= len(amounts)


@pytest.mark.slow
def test_when_a_web_process_is_killed_its_clients_come_back_and_the_others_notice_nothing(pair, js) -> None:
    protocol_id = make_protocol(pair.api)
    members = watchers(pair, js, protocol_id)
    assert listeners(pair, protocol_id) == 2, "the kernel gave all connections to one process"

    pair.kill("web-1")
    until(lambda: any(connects(each) == 2 for each in members), 20, "somebody had to come back")
    until(lambda: all(each.state["connected"] for each in members), 20, "everybody is back")
    deposit(pair.api, protocol_id, "1")

    for member in members:
        member.wait_for_event(POOL, amount="1.00")
    assert {connects(each) for each in members} == {1, 2}
