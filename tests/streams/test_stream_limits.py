"""A thousand streams beside a thousand sockets in one process, slow readers, and a process that ends."""

import json
import re
import signal
import socket
from pathlib import Path

import pytest

from app.realtime.redis_keys import channel_of, room_key
from tests.factories import deposit, make_protocol
from tests.realtime.fanout.fanout_client import RawClient
from tests.realtime.fanout.fanout_stack import message
from tests.support.event_stream import StreamReader
from tests.support.machine_speed import patience, slowdown
from tests.support.processes import is_alive, until
from tests.support.stack import Stack, StackMaker

MANY, TOGETHER = 1000, 100
CPU_SECONDS = 0.5  # for two thousand deliveries; a greenlet for each would take more
BIG = 200_000


def cpu_seconds(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


class RawStream:
    """A stream without a parser, since a thousand are read."""

    def __init__(self, port: int, protocol_id: str, token: str, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(patience(20))
        self.socket.connect(("127.0.0.1", port))
        path = f"/api/v1/protocols/{protocol_id}/events"
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        self.received = b""

    def read_until(self, pattern: bytes) -> "re.Match[bytes]":
        while (found := re.search(pattern, self.received)) is None:
            data = self.socket.recv(65536)
            assert data, self.received[-500:]
            self.received += data
        return found

    def read_to_end(self) -> bytes:
        while data := self.socket.recv(65536):
            self.received += data
        return self.received


def test_a_thousand_streams_beside_a_thousand_sockets(make_web: StackMaker) -> None:
    grace = {"DASHBOARD_SHUTDOWN_GRACE": str(int(5 * slowdown()))}
    system = make_web(DASHBOARD_SOCKETS_PER_TOKEN=str(MANY), **grace)
    protocol_id = make_protocol(system.api)
    token, other = system.api.token("viewer"), system.api.token("viewer")
    streams: list[RawStream] = []
    for _ in range(MANY // TOGETHER):
        some = [RawStream(system.port, protocol_id, token) for _ in range(TOGETHER)]
        for each in some:
            each.read_until(rb"event: state\nid: 0\n")
        streams += some
    auth = {"token": other, "protocolId": protocol_id}
    sockets = [RawClient(system.port, auth) for _ in range(MANY)]

    with StreamReader(system.port, protocol_id, token) as refused:
        assert (refused.status, refused.code) == (429, "TOO_MANY_CONNECTIONS")
        assert refused.response.headers["Retry-After"] == "1"
    assert "TOO_MANY_CONNECTIONS" in RawClient(system.port, {"token": token}).connected, "sockets count as streams do"
    assert (system.metric("dashboard_streams"), system.metric("dashboard_sockets")) == (MANY, MANY)

    before = cpu_seconds(system.pid("web-1"))
    with system.redis() as client:
        client.execute_command("SPUBLISH", channel_of(protocol_id), message(1))
    for each in streams:
        each.read_until(rb"event: bounty_pool:updated\nid: 1\n")
    for each in sockets:
        assert each.event(20)[1]["seq"] == "1"
    assert cpu_seconds(system.pid("web-1")) - before < CPU_SECONDS * slowdown()
    assert system.metric("dashboard_fanout_deliveries_total", transport="sse") == MANY
    assert system.metric("dashboard_fanout_deliveries_total", transport="websocket") == MANY

    with system.redis() as client:
        client.hset(room_key(protocol_id, "state"), "seq", 5)
        client.execute_command("SPUBLISH", channel_of(protocol_id), message(5))
    for each in streams:
        each.read_until(rb"event: state\nid: 5\n")
    assert len(system.log_lines("streams.resynced")) == 1
    streams[0].socket.close()
    until(lambda: system.metric("dashboard_streams") == MANY - 1, 10, "one has left")
    with StreamReader(system.port, protocol_id, token) as stream:
        assert stream.next().name == "state"

    system.signal("web-1", signal.SIGTERM)
    for each in streams[1:]:
        assert each.read_to_end().endswith(b"0\r\n\r\n")
    until(lambda: not is_alive(system.process.pid), 30, "the process has ended")
    assert "Traceback" not in system.log
    for each in [*streams, *sockets]:
        each.socket.close()


def test_a_slow_reader_is_disconnected_and_the_others_receive_everything(make_web: StackMaker) -> None:
    system = make_web()
    protocol_id, token = make_protocol(system.api), system.api.token("viewer")
    slow = RawStream(system.port, protocol_id, token, receive_buffer=4096)
    slow.read_until(rb"event: state\n")
    with StreamReader(system.port, protocol_id, token) as quick, system.redis() as client:
        assert quick.next().name == "state"
        seq = 0
        while not system.log_lines("socket.stalled") and seq < 100:
            seq += 1
            client.execute_command("SPUBLISH", channel_of(protocol_id), message(seq, text="x" * BIG))
            assert quick.next().id == str(seq)
        until(lambda: system.metric("dashboard_streams") == 1, 10, "the slow reader is disconnected")
        assert system.metric("dashboard_sockets_too_slow_total") == 1
        assert len(json.dumps("x" * BIG)) * seq > 1024 * 1024
        deposit(system.api, protocol_id, "1")
        assert quick.next().name in ("state", "bounty_pool:updated")
    with pytest.raises(ConnectionResetError):
        slow.read_to_end()
    slow.socket.close()


def test_streams_of_two_processes_see_each_event_and_recover_from_the_loss_of_redis(make_stack: StackMaker) -> None:
    system: Stack = make_stack(webs=2)
    protocol_id, token = make_protocol(system.api), system.api.token("viewer")
    streams = [StreamReader(system.port, protocol_id, token) for _ in range(12)]
    assert [each.next().name for each in streams] == ["state"] * 12
    with system.redis() as client:
        assert client.pubsub_shardnumsub(channel_of(protocol_id))[0][1] == 2, "the kernel gave all to one process"
    deposit(system.api, protocol_id, "1")
    assert [each.next().id for each in streams] == ["1"] * 12

    system.kill("redis")
    names = [each.next(60).name for each in streams]
    assert names == ["state"] * 12
    system.wait_until_whole()
    deposit(system.api, protocol_id, "2")
    for each in streams:
        while (event := each.next(30)).name == "state":
            pass
        assert event.payload["data"]["amount"] == "2.00"

    with system.redis() as client:
        client.flushall()
    names = [each.next(60).name for each in streams]
    assert names == ["state"] * 12, "Redis has lost its memory"

    system.freeze("redis")
    try:
        refused = system.api.as_("viewer").post(f"/protocols/{protocol_id}/stream-tickets")
        assert (refused.status, "retry-after" in refused.headers) == (503, True)
        with StreamReader(system.port, protocol_id, token) as stream:
            assert stream.status == 503
    finally:
        system.thaw("redis")
    for each in streams:
        each.close()
