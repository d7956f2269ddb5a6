"""The fan-out against a real Valkey, a real eventlet server and clients that see every byte."""

import json
import threading
import time

import pytest

from app.realtime.redis_keys import CONTROL_CHANNEL, channel_of
from tests.realtime.fanout.fanout_client import RawClient
from tests.realtime.fanout.fanout_stack import join, publish, running_server, running_valkey, wait_until
from tests.support.machine_speed import slowdown


@pytest.fixture
def valkey(tmp_path):
    with running_valkey(tmp_path) as server:
        yield server


@pytest.fixture
def server(valkey, tmp_path):
    with running_server(valkey.url, tmp_path / "server.log") as process:
        yield process


def test_an_event_reaches_only_the_members_of_its_room(valkey, server):
    inside, outside = join(server, "P1"), join(server, "P2")
    publish(valkey, "P1", 1, amount="5.00")
    name, payload = inside.event()
    assert (name, payload["seq"], payload["data"]) == ("bounty_pool:updated", "1", {"amount": "5.00"})
    assert outside.packet(timeout=0.3) is None


def test_a_room_is_subscribed_only_while_it_has_members_here(valkey, server):
    first, second = join(server, "P1"), join(server, "P1")
    assert valkey.channels() == {channel_of("P1"), CONTROL_CHANNEL}
    first.ask("leave", "protocol:P1")
    assert channel_of("P1") in valkey.channels()
    second.close()
    wait_until(lambda: valkey.channels() == {CONTROL_CHANNEL})


def test_concurrent_joins_and_leaves_keep_exactly_the_remaining_members_subscribed(valkey, server):
    staying = join(server, "P1")

    def come_and_go():
        client = RawClient(server.port)
        for _ in range(20):
            client.send('42["join","protocol:P1"]')
            client.send('42["leave","protocol:P1"]')
        client.ask("leave", "protocol:P1")
        client.close()

    threads = [threading.Thread(target=come_and_go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert publish(valkey, "P1", 1) == 1
    assert staying.event()[1]["seq"] == "1"
    staying.ask("leave", "protocol:P1")
    wait_until(lambda: valkey.channels() == {CONTROL_CHANNEL})


def test_while_redis_is_down_a_join_is_refused_within_two_seconds_and_has_no_effect_later(valkey, server):
    client = RawClient(server.port)
    wait_until(lambda: CONTROL_CHANNEL in valkey.channels())
    valkey.stop()
    began = time.monotonic()
    assert client.ask("join", "protocol:P1") == {"ok": False, "code": "REALTIME_UNAVAILABLE"}
    assert 1.5 < time.monotonic() - began < 3 * slowdown()

    valkey.start()
    wait_until(lambda: CONTROL_CHANNEL in valkey.channels())
    assert publish(valkey, "P1", 1) == 0


def test_the_listener_survives_a_killed_connection_and_a_restart(valkey, server):
    client = join(server, "P1")
    client.ask("note", "P1", "0")
    valkey.set_seq("P1", 0)
    valkey.client.client_kill_filter(_type="pubsub")
    wait_until(lambda: channel_of("P1") in valkey.channels())
    publish(valkey, "P1", 1)
    assert client.event()[1]["seq"] == "1"
    valkey.stop()
    valkey.start()
    wait_until(valkey.channels)
    again = join(server, "P1")
    publish(valkey, "P1", 2)
    assert again.event()[1]["seq"] == "2"


def test_clients_reconnect_after_a_redis_restart_even_if_it_reached_the_same_seq_again(valkey, server):
    client = join(server, "P1")
    client.ask("note", "P1", "7")
    valkey.stop()
    valkey.start()
    valkey.set_seq("P1", 7)
    assert client.packet(timeout=10) == ""


def test_only_clients_of_a_rewound_room_reconnect(valkey, server):
    client, other = join(server, "P1"), join(server, "P2")
    client.ask("note", "P1", "7")
    valkey.client.publish(CONTROL_CHANNEL, '{"method":"resync","protocolId":"P1"}')
    assert client.packet(timeout=6) == ""
    assert other.packet(timeout=0.5) is None


def test_only_clients_of_rooms_with_missed_events_are_made_to_reconnect(valkey, server):
    moved, still = join(server, "P1"), join(server, "P2")
    moved.ask("note", "P1", "7")
    still.ask("note", "P2", "3")
    valkey.set_seq("P1", 8)
    valkey.set_seq("P2", 3)
    valkey.client.client_kill_filter(_type="pubsub")
    assert moved.packet(timeout=6 * slowdown()) == ""
    assert still.packet(timeout=0.5) is None
    assert channel_of("P2") in valkey.channels()


def test_an_event_reaches_a_connection_of_another_process_and_a_local_one_even_without_redis(valkey, server, tmp_path):
    with running_server(valkey.url, tmp_path / "other.log") as other:
        speaker, local, remote = RawClient(server.port), RawClient(server.port), RawClient(other.port)
        sids = [local.ask("sid"), remote.ask("sid")]
        wait_until(lambda: valkey.client.pubsub_numsub(CONTROL_CHANNEL)[0][1] == 2)
        speaker.send("42" + json.dumps(["send", sids[1], "hello"]))
        assert remote.event() == ["sent", {"text": "hello"}]
        valkey.stop()
        speaker.send("42" + json.dumps(["send", sids[0], "hello"]))
        assert local.event() == ["sent", {"text": "hello"}]
