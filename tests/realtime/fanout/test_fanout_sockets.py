"""Delivery to connections: order, clients that do not read, polling, upgrades, and the rules of RFC 6455."""

import itertools
import json
import math
import socket
import struct
import time
from pathlib import Path

import pytest

from app.realtime.redis_keys import channel_of
from tests.realtime.fanout.fanout_client import RawClient
from tests.realtime.fanout.fanout_polling import PollingClient
from tests.realtime.fanout.fanout_stack import join, message, publish, running_server, running_valkey, wait_until
from tests.support.machine_speed import slowdown

KILOBYTE = "x" * 1000


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    with running_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="module")
def server(valkey, tmp_path_factory):
    with running_server(valkey.url, tmp_path_factory.mktemp("server") / "server.log") as process:
        yield process


_numbers = itertools.count(1)


@pytest.fixture
def protocol():
    """An id of this test alone: the server serves all tests of this file."""
    return f"P{next(_numbers)}"


def publish_many(valkey, protocol_id, seqs, **data):
    with valkey.client.pipeline(transaction=False) as pipe:
        for seq in seqs:
            pipe.execute_command("SPUBLISH", channel_of(protocol_id), message(seq, **data))
        pipe.execute()


def seqs_of(client, count):
    return [client.event()[1]["seq"] for _ in range(count)]


def numbers(start, end):
    return [str(number) for number in range(start, end)]


def test_a_burst_reaches_every_member_complete_and_in_order(valkey, server, protocol):
    clients = [join(server, protocol) for _ in range(20)]
    publish_many(valkey, protocol, range(1, 501))
    for client in clients:
        assert seqs_of(client, 500) == numbers(1, 501)


def test_rooms_in_one_batch_are_kept_separate(valkey, server, protocol):
    first, second = join(server, protocol), join(server, f"{protocol}-2")
    with valkey.client.pipeline(transaction=False) as pipe:
        for seq in range(1, 101):
            for room in (protocol, f"{protocol}-2"):
                pipe.execute_command("SPUBLISH", channel_of(room), message(seq))
        pipe.execute()
    assert seqs_of(first, 100) == seqs_of(second, 100) == numbers(1, 101)


def test_a_slow_reader_receives_its_backlog_completely_and_in_order(valkey, server, protocol):
    slow = join(server, protocol, receive_buffer=4096)
    publish_many(valkey, protocol, range(1, 501), text=KILOBYTE)
    slow.send('421["echo","after the events"]')
    time.sleep(0.3)
    assert seqs_of(slow, 500) == numbers(1, 501)
    assert slow.packet() == '431["after the events"]'


def test_a_client_that_does_not_read_is_disconnected_without_effect_on_others(valkey, server, protocol):
    unread, reading = join(server, protocol, receive_buffer=4096), join(server, protocol)
    for start in range(1, 10_001, 1000):
        publish_many(valkey, protocol, range(start, start + 1000), text=KILOBYTE)
        assert seqs_of(reading, 1000) == numbers(start, start + 1000)
    wait_until(lambda: "socket.stalled" in server.log.read_text())
    assert reading.ask("echo", "still here") == "still here"
    while unread.packet():
        pass
    assert unread.closed


def test_a_connection_reset_during_a_burst_does_not_affect_the_others(valkey, server, protocol):
    clients = [join(server, protocol) for _ in range(12)]
    for seq in range(1, 11):
        publish(valkey, protocol, seq)
        gone = clients.pop()
        gone.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()
    for client in clients:
        assert seqs_of(client, 10) == numbers(1, 11)


def test_events_published_while_a_client_connects_follow_its_connect_packet(valkey, server, protocol):
    client = RawClient(server.port, connect=False)
    client.send("40" + json.dumps({"room": f"protocol:{protocol}", "pause": 0.5}))
    wait_until(lambda: channel_of(protocol) in valkey.channels())
    time.sleep(0.1)
    publish_many(valkey, protocol, range(1, 4))
    assert client.packet().startswith("40{")
    publish(valkey, protocol, 4)
    assert seqs_of(client, 4) == numbers(1, 5)


def test_a_polling_client_receives_the_events_of_its_room(valkey, server, protocol):
    client = PollingClient(server.port, {"room": f"protocol:{protocol}"})
    publish_many(valkey, protocol, range(1, 4))
    assert [json.loads(client.packet()[2:])[1]["seq"] for _ in range(3)] == numbers(1, 4)


def test_an_upgrade_loses_nothing_and_repeats_nothing(valkey, server, protocol):
    client = PollingClient(server.port, {"room": f"protocol:{protocol}"})
    publish(valkey, protocol, 1)
    assert json.loads(client.packet()[2:])[1]["seq"] == "1"
    waiting = client.poll_in_background()
    probe = RawClient(server.port, sid=client.sid)
    probe.send("2probe")
    assert probe.packet() == "3probe"
    waiting.join(5)
    publish_many(valkey, protocol, range(2, 5))
    time.sleep(0.2)
    probe.send("5")
    publish_many(valkey, protocol, range(5, 8))
    assert seqs_of(probe, 6) == numbers(2, 8)
    assert probe.ask("echo", "upgraded") == "upgraded"


def test_a_failed_probe_leaves_the_client_polling(valkey, server, protocol):
    client = PollingClient(server.port, {"room": f"protocol:{protocol}"})
    probe = RawClient(server.port, sid=client.sid)
    probe.send("2wrong")
    assert not probe.packet()
    publish(valkey, protocol, 1)
    assert json.loads(client.packet()[2:])[1]["seq"] == "1"


def test_compression_is_declined(server):
    client = RawClient(server.port, extensions="permessage-deflate; client_max_window_bits")
    assert b"sec-websocket-extensions" not in client.head.lower()


def test_skipped_receivers_binary_data_and_callbacks_work_as_in_python_socketio(server):
    first, second = RawClient(server.port), RawClient(server.port)
    for client in (first, second):
        client.ask("join", "lobby")
    own, other = first.ask("sid"), second.ask("sid")
    first.send(f'42["broadcast","lobby",{{"a":1}},"{own}"]')
    assert second.event() == ["broadcasted", {"a": 1}]
    assert first.packet(timeout=0.2) is None
    first.send(f'42["binary","{other}"]')
    assert second.packet() == '451-["bytes",{"_placeholder":true,"num":0}]'
    assert second.frame() == (2, b"\x00\xff")
    first.send(f'42["question","{other}"]')
    question = second.packet()
    number = question[2 : question.index("[")]
    second.send(f'43{number}["yes"]')
    assert second.event() == ["answered", "yes"]


def test_a_client_that_answers_pings_stays_and_a_silent_one_is_closed(valkey, tmp_path):
    seconds = math.ceil(slowdown())
    with running_server(valkey.url, tmp_path / "pings.log", seconds, seconds) as server:
        answering, silent = RawClient(server.port), RawClient(server.port)
        began = time.monotonic()
        assert answering.packet(timeout=4 * seconds) is None
        frames = []
        while (frame := silent.frame())[0] != 8:
            frames.append(frame)
        assert frames == [(1, b"2")]
        assert time.monotonic() - began < 6 * seconds * slowdown()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x81\x02hi", 1002),
        (b"\xc1\x80\x00\x00\x00\x00", 1002),
        (b"\x83\x80\x00\x00\x00\x00", 1002),
        (b"\x80\x80\x00\x00\x00\x00", 1002),
        (b"\x09\x80\x00\x00\x00\x00", 1002),
        (b"\x81\x81\x00\x00\x00\x00\xff", 1007),
        (b"\x81\xff\x00\x00\x00\x00\x00\x98\x96\x80", 1009),
        (b"\x88\x82\x00\x00\x00\x00\x03\xe9", 1001),
        (b"\x88\x80\x00\x00\x00\x00", 1000),
        (b"\x88\x82\x00\x00\x00\x00\x03\xed", 1002),
    ],
    ids=["unmasked", "reserved bits", "unknown opcode", "continuation of nothing", "fragmented ping", "not UTF-8",
         "too long", "going away", "close without code", "forbidden close code"],
)  # fmt: skip
def test_the_connection_is_closed_with_the_code_that_rfc_6455_demands(server, sent, code):
    client = RawClient(server.port)
    client.socket.sendall(sent)
    assert client.frame() == (8, code.to_bytes(2))
    assert client.frame() == (8, b"")


def test_a_websocket_ping_is_answered_and_fragments_are_joined(server):
    client = RawClient(server.port)
    client.send("are you there", opcode=9)
    assert client.frame() == (10, b"are you there")
    client.socket.sendall(b"\x01\x82\x00\x00\x00\x0042")
    client.send("in between", opcode=9)
    assert client.frame() == (10, b"in between")
    rest = b'7["echo",1]'
    client.socket.sendall(bytes((0x80, 0x80 | len(rest))) + bytes(4) + rest)
    assert client.packet() == "437[1]"


def test_a_connection_costs_less_than_thirty_kilobytes(server, protocol):
    def resident():
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    kept = [join(server, protocol) for _ in range(100)]
    before = resident()
    kept += [join(server, protocol) for _ in range(300)]
    assert (resident() - before) / 300 < 30
