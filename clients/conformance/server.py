"""The scripted server: the real protocols, and every fault at the moment at which a case wants it."""

import contextlib
import hashlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Self

import socketio
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from clients.conformance.reports import Reports
from clients.conformance.room import PROTOCOL, Room
from clients.conformance.script import AGENT, Answer, Answers, Exchange, Record, Tokens
from clients.conformance.sockets import Sockets
from clients.conformance.streams import Ending, Streams
from tests.support.processes import free_port, until

PREFIX = "/api/v1"
CODES = {
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "PROTOCOL_NOT_FOUND",
    422: "VALIDATION_FAILED",
    429: "RATE_LIMITED",
}
SUCCESS, NOT_MODIFIED = 200, 304
POLL_SECONDS, BIND_SECONDS, BACKLOG = 0.05, 10, 128
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


def _pause(planned: Answer) -> str:
    """Retry-After: seconds, or with `asDate` an HTTP date."""
    if not planned.get("asDate"):
        return str(planned["retryAfter"])
    return format_datetime(datetime.now(UTC) + timedelta(seconds=planned["retryAfter"]), usegmt=True)


class Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        """Nothing: the record has all requests."""

    def connection_dropped(self, *_: Any) -> None:
        self.close_connection = True


class ScriptedServer:
    """Started by `with`; a case drives it through its attributes and methods."""

    def __init__(self, room: Room, role: str) -> None:
        self.room, self.record, self.answers, self.reports = room, Record(), Answers(), Reports()
        self.tokens = Tokens(role)
        self.sockets = Sockets(self.record, self.answers, self.tokens)
        self.streams = Streams(room)
        self.released, self._speaking, self._closing = threading.Event(), threading.Event(), threading.Event()
        self._speaking.set()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._app = socketio.WSGIApp(self.sockets.server, Request.application(self._respond))
        self._http: BaseWSGIServer | None = None

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._speaking.set()
        self.released.set()
        self.down()

    def up(self) -> None:
        with until(self._listen, BIND_SECONDS, f"port {self.port} is free") as listening:
            self._http = make_server(
                "127.0.0.1", self.port, self._application, threaded=True, request_handler=Quiet, fd=listening.fileno()
            )
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(POLL_SECONDS,), daemon=True).start()

    def _listen(self) -> socket.socket | None:
        """Until a child process that was forked meanwhile has started, it holds the former socket too."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", self.port))
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            return None
        return listening

    def down(self) -> None:
        """Refuse connections from now on, and break the open ones."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http = None
        self.cut()

    def cut(self) -> None:
        self.sockets.cut()
        self.streams.end(Ending.CUT)

    def silence(self, is_silent: bool) -> None:
        """Keep all connections open, and say nothing on them."""
        (self._speaking.clear if is_silent else self._speaking.set)()
        self.sockets.silence(is_silent)

    def _application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        self._speaking.wait()
        return self._app(environ, start_response)

    def _respond(self, request: Request) -> Response:
        kind, token, body = self._kind(request), self._token(request), self._json(request)
        exchange = Exchange(kind, token, dict(request.headers), request.full_path, body, self.room.state())
        self.record.add(exchange)
        if kind in {"reports", "file"}:
            self.reports.note_key(request.path, request.headers.get("Idempotency-Key"), exchange.body)
        planned = self.answers.take(kind)
        if planned.get("hang"):
            self._closing.wait()
        if planned.get("reset") or self._closing.is_set():
            return self._reset(request)
        response = self._planned(planned) if "status" in planned else self._usual(request, exchange, planned)
        if planned.get("lose"):
            return self._reset(request)
        response.headers["X-Request-Id"] = "conformance"
        # A date has whole seconds.
        exchange.retry_after = max(0.0, planned.get("retryAfter", 0) - (1 if planned.get("asDate") else 0))
        self.record.note(lambda: vars(exchange).update(status=response.status_code))
        exchange.answered_at = time.monotonic()
        return response

    @staticmethod
    def _kind(request: Request) -> str:
        path = request.path.removeprefix(PREFIX)
        if path == f"/protocols/{PROTOCOL}/state":
            return "state"
        if path == f"/protocols/{PROTOCOL}/events":
            return "stream"
        if request.method == "POST" and path in {"/progress", f"/agents/{AGENT}/progress"}:
            return "reports"
        return "file" if request.method == "POST" and path == f"/protocols/{PROTOCOL}/vulnerabilities" else "other"

    @staticmethod
    def _token(request: Request) -> str | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return token if scheme == "Bearer" else None

    @staticmethod
    def _json(request: Request) -> Any:
        with contextlib.suppress(ValueError):
            return json.loads(request.get_data())
        return None

    def _planned(self, planned: Answer) -> Response:
        status = planned["status"]
        headers = {"Retry-After": _pause(planned)} if "retryAfter" in planned else {}
        if "text" in planned:
            return Response(planned["text"], status, headers, content_type=planned.get("type", "application/json"))
        return self._problem(status, planned.get("code", CODES.get(status, "INTERNAL_ERROR")), headers)

    @staticmethod
    def _problem(status: int, code: str, headers: dict[str, str] | None = None, **more: Any) -> Response:
        body = {
            "type": "about:blank",
            "title": code,
            "status": status,
            "detail": f"Answered with {code}.",
            "code": code,
        }
        text = json.dumps({**body, "requestId": "conformance", **more})
        return Response(text, status, headers, content_type="application/problem+json")

    def _usual(self, request: Request, exchange: Exchange, planned: Answer) -> Response:
        if not self.tokens.is_accepted(exchange.token):
            return self._problem(401, "UNAUTHORIZED")
        if exchange.kind == "state":
            return self._state(request, exchange, planned)
        if exchange.kind == "stream":
            connection = request.environ["werkzeug.socket"]
            return Response(self.streams.body(connection), content_type="text/event-stream")
        if exchange.kind in {"reports", "file"}:
            return self._report(request, exchange)
        if request.path == f"{PREFIX}/agents/{AGENT}":
            return self._answer(200, {"id": AGENT, "name": AGENT, "type": "RESEARCHER", "currentTask": None})
        return self._problem(404, "PROTOCOL_NOT_FOUND")

    def _state(self, request: Request, exchange: Exchange, planned: Answer) -> Response:
        """`hold: old` has the state of the request's arrival, `hold: new` that of `release`."""
        hold = planned.get("hold")
        if hold is not None:
            self.released.wait()
        state = exchange.state if hold == "old" else self.room.state()
        essence = {name: value for name, value in state.items() if name != "asOf"}
        tag = f'"{hashlib.sha256(json.dumps(essence).encode()).hexdigest()[:16]}"'
        if tag in request.headers.get("If-None-Match", ""):
            return Response(status=NOT_MODIFIED, headers={"ETag": tag})
        response = self._answer(SUCCESS, state)
        response.headers["ETag"] = tag
        return response

    def _report(self, request: Request, exchange: Exchange) -> Response:
        key = request.headers.get("Idempotency-Key")
        status, body = self.reports.answer(request.path, key, exchange.body)
        if status == 422:  # noqa: PLR2004 - Unprocessable Content
            return self._problem(status, **body)
        return self._answer(status, body)

    @staticmethod
    def _answer(status: int, body: Any) -> Response:
        return Response(json.dumps(body), status, content_type="application/json")

    @staticmethod
    def _reset(request: Request) -> Response:
        """Reset the connection at once: closing the socket object alone would wait for the handler's files."""
        connection = request.environ["werkzeug.socket"]
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), connection.fileno())
        raise ConnectionResetError
