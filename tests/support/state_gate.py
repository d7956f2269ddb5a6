"""A proxy in front of a running system that can delay or reject `/state`; everything else passes."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

import requests

from tests.support.machine_speed import patience
from tests.support.processes import free_port


class StateGate:
    """Started by `with`. `asked`: the times `/state` was requested; `answered`: how often upstream responded."""

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.asked: list[float] = []
        self.answered = 0
        self.refusals = 0
        self.open = threading.Event()
        self.open.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", free_port()), _Handler)
        self._server.daemon_threads = True
        self._server.gate = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if "Upgrade" in self.headers:
            self._join()
        else:
            self._state()

    def _state(self) -> None:
        gate = self.server.gate
        gate.asked.append(time.monotonic())
        if gate.refusals:
            gate.refusals -= 1
            return self._answer(503, b"{}")
        headers = {"Authorization": self.headers["Authorization"]}
        answer = requests.get(
            f"http://127.0.0.1:{gate.upstream_port}{self.path}", headers=headers, timeout=patience(10)
        )
        gate.answered += 1
        gate.open.wait(20)
        return self._answer(answer.status_code, answer.content)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _join(self) -> None:
        """Relay the WebSocket."""
        self.close_connection = True
        try:
            upstream = socket.create_connection(("127.0.0.1", self.server.gate.upstream_port))
        except OSError:
            return
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        upstream.sendall(f"{self.requestline}\r\n{head}\r\n".encode())
        threading.Thread(target=_pump, args=(upstream, self.connection), daemon=True).start()
        _pump(self.connection, upstream)

    def log_message(self, *_: object) -> None:
        pass


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass  # one side has disconnected
    for each in (source, target):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue
