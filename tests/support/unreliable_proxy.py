"""An HTTP proxy in front of a running system that loses requests and responses as scripted."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

import requests

PASS, LOSE_REQUEST, LOSE_ANSWER, BAD_GATEWAY, BUSY = "pass", "lose request", "lose answer", "bad gateway", "busy"


class UnreliableProxy:
    """Started by `with`. `faults` apply to the next POSTs; all later ones pass."""

    def __init__(self, upstream: str, faults: list[str]) -> None:
        self.upstream, self.faults = upstream, list(faults)
        self.requests: list[tuple[str | None, bytes]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.proxy = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def keys_of(self, word: bytes) -> list[str | None]:
        """The Idempotency-Keys of the requests whose body contains `word`, one per attempt."""
        return [key for key, body in self.requests if word in body]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers["Content-Length"]))
        proxy.requests.append((self.headers["Idempotency-Key"], body))
        fault = proxy.faults.pop(0) if proxy.faults else PASS
        if fault in (PASS, LOSE_ANSWER):
            headers = {name: value for name, value in self.headers.items() if name not in ("Host", "Content-Length")}
            answer = requests.post(proxy.upstream + self.path, data=body, headers=headers, timeout=30)
        if fault in (LOSE_REQUEST, LOSE_ANSWER):
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault == BAD_GATEWAY:
            self._answer(502, "text/html", b"<html>Bad gateway</html>")
        elif fault == BUSY:
            self._answer(429, "application/json", b'{"code": "TOO_MANY_REQUESTS"}', {"Retry-After": "1"})
        else:
            self._answer(answer.status_code, answer.headers["Content-Type"], answer.content)

    def _answer(self, status: int, content_type: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
