"""`dashboard web` stops in order, and survives clients that misbehave."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.commands import run_command
from tests.realtime.fanout.fanout_client import RawClient
from tests.support import databases
from tests.support.api import mint
from tests.support.machine_speed import patience, slowdown
from tests.support.processes import free_port, is_open, start, stop, until
from tests.support.stack import COMMAND, Stack


@dataclass
class Server:
    port: int
    signing_key: str

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=patience(20))

    def request(self, body: bytes) -> bytes:
        token = mint(self.signing_key, "admin")
        head = f"POST /api/v1/protocols HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Web(Server):
    """One web process on a database and a Redis of the test's own, which stops it."""

    def __init__(self, settings: dict[str, str], folder: Path, grace_seconds: float) -> None:
        super().__init__(free_port(), settings["DASHBOARD_SIGNING_KEY"])
        self.log = folder / "web.log"
        command = [*COMMAND, "web", "--port", str(self.port)]
        self.process = start(
            command, log=self.log, env={**os.environ, **settings, "DASHBOARD_SHUTDOWN_GRACE": str(grace_seconds)}
        )
        until(lambda: is_open(self.port), 90, f"web listens; its log is {self.log}")


WebMaker = Callable[[float], Web]


@pytest.fixture
def start_web(sqlite_url: str, redis_url: str, tmp_path: Path) -> Iterator[WebMaker]:
    """`start_web(grace_seconds)`."""
    settings = databases.environment(
        home=tmp_path, database_url=sqlite_url, redis_url=redis_url, signing_key="0123456789abcdef" * 4
    )
    served: list[Web] = []

    def make(grace_seconds: float) -> Web:
        served.append(Web(settings, tmp_path, grace_seconds))
        return served[-1]

    yield make
    for each in served:
        stop(each.process)


@pytest.fixture
def web(start_web: WebMaker) -> Web:
    return start_web(20)


@pytest.fixture
def running(stack: Stack) -> Server:
    """The web process of the system that the tests share."""
    return Server(stack.port, stack.signing_key)


def read_answer(connection: socket.socket) -> bytes:
    """Everything until the server closes, or the end of a body of known length."""
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
        head, separator, body = received.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if separator and lengths and len(body) >= int(lengths[0].split(b":")[1]):
            break
    return received


GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_request_under_way_is_answered_after_sigterm(web: Web):
    request = web.request(json.dumps({"id": "P1", "name": "Slow"}).encode())
    with web.connect() as slow:
        slow.sendall(request[:-5])
        with web.connect() as other:  # its answer shows that the first has been accepted
            other.sendall(GET)
            assert b" 200 " in read_answer(other)
        web.process.send_signal(signal.SIGTERM)
        until(lambda: not is_open(web.port), 10, "web stops accepting")
        slow.sendall(request[-5:])
        answer = read_answer(slow)
    assert answer.startswith(b"HTTP/1.1 201 "), answer
    assert b"connection: close" in answer.lower()
    assert web.process.wait(15 * slowdown()) == 0


def test_idle_connections_and_a_single_socket_do_not_delay_the_stop(web: Web):
    with web.connect() as idle, web.connect() as silent:
        idle.sendall(GET)
        browser = RawClient(web.port, {"token": mint(web.signing_key, "viewer")})
        assert b" 200 " in read_answer(idle)
        started = time.monotonic()
        web.process.send_signal(signal.SIGTERM)
        assert web.process.wait(30 * slowdown()) == 0
        assert time.monotonic() - started < 10 * slowdown(), "half of the grace was not needed"
        assert idle.recv(1) == b""
        assert silent.recv(1) == b""
        browser.socket.close()


def test_a_request_that_never_ends_is_cut_off_when_the_grace_is_over(start_web: WebMaker):
    web = start_web(2)
    with web.connect() as slow:
        slow.sendall(web.request(b'{"name": "never"}')[:-5])
        with web.connect() as other:
            other.sendall(GET)
            read_answer(other)
        started = time.monotonic()
        web.process.send_signal(signal.SIGTERM)
        assert web.process.wait(30 * slowdown()) == 0
        assert 1.9 < time.monotonic() - started < 10 * slowdown()
    assert "web.connections_cut" in web.log.read_text()


def test_sigterm_cuts_off_no_request_under_load(web: Web):
    """Each connection that was made gets a whole answer; later ones are refused."""
    failures: list[str] = []
    answered = [0] * 6
    over = threading.Event()

    def load(index: int) -> None:
        while not over.is_set():
            try:
                connection = web.connect()
            except ConnectionRefusedError:
                return
            with connection:
                try:
                    connection.sendall(GET)
                    answer = read_answer(connection)
                except OSError as error:
                    failures.append(repr(error))
                    return
                if not answer.startswith(b"HTTP/1.1 200 "):
                    failures.append(repr(answer))
                answered[index] += 1

    threads = [threading.Thread(target=load, args=(index,)) for index in range(len(answered))]
    for thread in threads:
        thread.start()
    until(lambda: min(answered) > 20, 20, "every caller has had answers")
    web.process.send_signal(signal.SIGTERM)
    assert web.process.wait(30 * slowdown()) == 0
    over.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_clients_that_disconnect_early_cause_no_traceback(running: Server, stack: Stack):
    logged = len(stack.log)
    half = running.request(b'{"name": "half"}')[:-5]
    for sent in (b"", b"GET / HT", GET[:-2], half, b"\x16\x03\x01\x02\x00\x01", b"\r\n\r\n", b"A" * 20_000):
        with running.connect() as rude:
            rude.sendall(sent)
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close with a reset
    with running.connect() as polite:
        polite.sendall(GET)
        assert b" 200 " in read_answer(polite)
    assert "Traceback" not in stack.log[logged:]


@pytest.mark.slow
def test_a_client_that_sends_its_header_byte_by_byte_is_disconnected(running: Server):
    started = time.monotonic()
    with running.connect() as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        try:
            while time.monotonic() - started < 20 * slowdown():
                slow.sendall(b"a")
                slow.settimeout(0.5)
                try:
                    if slow.recv(1) == b"":
                        break
                except TimeoutError:
                    continue
        except ConnectionError:
            pass
    assert 8 < time.monotonic() - started < 19 * slowdown()


@pytest.mark.database("sqlite")
def test_a_port_in_use_is_reported_without_a_traceback(running: Server, environment: dict[str, str]):
    ended = run_command("web", "--port", str(running.port), environment=environment)
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{running.port}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_configuration_web_lists_what_is_missing(tmp_path: Path):
    ended = run_command("web", environment={"DASHBOARD_HOME": str(tmp_path / "nothing")})
    assert ended.returncode == 2
    for name in ("DATABASE_URL", "REDIS_URL", "DASHBOARD_SIGNING_KEY"):
        assert name in ended.stderr
    assert "Traceback" not in ended.stderr
