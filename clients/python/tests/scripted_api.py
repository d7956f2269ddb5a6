"""An HTTP server in this process that answers reports, findings and other calls as a test says."""

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANG, RESET, LOSE_ANSWER = "hang", "reset", "lose answer"


@dataclass(frozen=True)
class Refusal:
    """A problem response, or with `code` None that of a proxy."""

    status: int
    code: str | None = None
    retry_after: str | None = None


Outcome = Refusal | str | None
"""What happens to a request; None: it is accepted."""


@dataclass
class Call:
    method: str
    path: str
    body: Any
    headers: dict[str, str]
    at: float = field(default_factory=time.monotonic)

    @property
    def key(self) -> str | None:
        return self.headers.get("Idempotency-Key")

    @property
    def status(self) -> str | None:
        return self.body.get("status") if isinstance(self.body, dict) else None


class ScriptedApi:
    """Started by `with`. `script` holds the outcomes of the next requests; afterwards `outcome(call)` decides."""

    def __init__(self, port: int = 0) -> None:
        self.calls: list[Call] = []
        self.accepted: list[Call] = []  # the first of each Idempotency-Key
        self.script: list[Outcome] = []
        self.outcome: Callable[[Call], Outcome] = lambda _: None
        self.answers: dict[str, Any] = {}  # by path
        self._keys: set[str] = set()
        self._released = threading.Event()
        self._port, self._server = port, self._listen(port)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _listen(self, port: int) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
        server.daemon_threads = True
        server.api = self  # type: ignore[attr-defined]
        return server

    def __enter__(self) -> "ScriptedApi":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def reports(self, status: str | None = None) -> list[Call]:
        """The accepted reports, also those of batches."""
        found = [call for call in self.accepted if call.path.endswith("/progress")]
        return [call for call in found if status is None or call.status == status]

    def ends(self) -> list[tuple[str, str]]:
        """The accepted ends of tasks in order."""
        return [(call.body["task"], call.body["status"]) for call in self.reports() if call.status != "RUNNING"]

    def handle(self, call: Call) -> tuple[Outcome, Any]:
        self.calls.append(call)
        outcome = self.script.pop(0) if self.script else self.outcome(call)
        if outcome == HANG:
            self._released.wait(60)
        if outcome in (None, LOSE_ANSWER) and (call.key is None or call.key not in self._keys):
            self._keys.add(call.key or "")
            self.accepted.append(call)
        return outcome, self.answers.get(call.path, {"accepted": "1", "rejected": [], "id": "v1", "status": "PENDING"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # one packet a response: two would wait for a delayed acknowledgement

    def do_GET(self) -> None:
        self._handle(None)

    def do_POST(self) -> None:
        self._handle(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _handle(self, body: Any) -> None:
        api: ScriptedApi = self.server.api  # type: ignore[attr-defined]
        outcome, answer = api.handle(Call(self.command, self.path, body, dict(self.headers)))
        if outcome in (RESET, LOSE_ANSWER, HANG):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif isinstance(outcome, Refusal):
            problem = {"code": outcome.code, "detail": f"refused with {outcome.code}", "requestId": "r1"}
            self._answer(outcome.status, problem if outcome.code else "<html>", {"Retry-After": outcome.retry_after})
        else:
            self._answer(200, answer, {})

    def _answer(self, status: int, body: Any, headers: dict[str, str | None]) -> None:
        sent = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(sent)), **headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: object) -> None:
        pass
