"""Helpers for tests of money: concurrent callers, confirmed vulnerabilities, reconciliation and a payout service."""

import hashlib
import hmac
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import select, update

from app.config import Config
from app.core.database import transaction, utc_now
from app.core.extensions import db
from app.payments import reconciliation, settlement
from app.payments.models import Payment
from app.realtime.events import EventType
from app.realtime.outbox import OutboxEvent
from tests.factories import deposit, file_vulnerability, make_protocol
from tests.support.api import Api, InProcess

SECRET = "the payout service and we know this"


def at_once(threads: int, tasks: list[Callable[[], Any]]) -> list[Any]:
    """Run the tasks on this many threads that start together; returns the results in the order of the tasks."""
    gate = threading.Barrier(min(threads, len(tasks)))
    begun = threading.local()

    def run(task: Callable[[], Any]) -> Any:
        if not getattr(begun, "yes", False):
            begun.yes = True
            gate.wait(10)
        return task()

    with ThreadPoolExecutor(min(threads, len(tasks))) as pool:
        return list(pool.map(run, tasks))


def own_api(app: Flask, settings: Config) -> Api:
    """An API for one thread."""
    return Api(InProcess(app), settings.signing_key)


def funded_protocol(api: Api, amount: str = "1000.00") -> str:
    protocol_id = make_protocol(api)
    deposit(api, protocol_id, amount)
    return protocol_id


def confirmed(api: Api, protocol_id: str, bounty: str | None = "100.00") -> str:
    """File and confirm a vulnerability; returns its path."""
    fields = {} if bounty is None else {"bounty": bounty}
    path = f"/vulnerabilities/{file_vulnerability(api, protocol_id, **fields)['id']}"
    api.validator.post(f"{path}/confirm", {}).expect(200)
    return path


def request_payment(api: Api, path: str, **fields: Any) -> dict[str, Any]:
    return api.owner.post(f"{path}/payment", {"recipient": "0xabc"} | fields).expect(202)


def pool(api: Api, protocol_id: str) -> dict[str, Any]:
    return api.viewer.get(f"/protocols/{protocol_id}/pool").expect(200)


def stored_events(app: Flask, protocol_id: str) -> list[tuple[str, dict[str, Any]]]:
    """The type and the data of each event that the protocol's room gets, in order."""
    with app.app_context():
        mine = select(OutboxEvent).where(OutboxEvent.protocol_id == protocol_id)
        rows = db.session.scalars(mine.order_by(OutboxEvent.position)).all()
        return [(row.event_type, json.loads(row.data_json)) for row in rows]


def event_summaries(app: Flask, protocol_id: str) -> list[str]:
    """A word for each event of the room: `DEPOSIT`, `discovered`, `CONFIRMED`, `payment PENDING`, …"""
    words = {EventType.VULN_DISCOVERED: "discovered", EventType.PAYMENT_STATUS_CHANGED: "payment "}
    return [
        words.get(kind, "") + (data.get("changeType") or data.get("newStatus", ""))
        for kind, data in stored_events(app, protocol_id)
    ]


def books(app: Flask) -> list[tuple[str, str]]:
    """The mismatches that reconciliation finds."""
    with app.app_context():
        return reconciliation.mismatches()


def make_due(app: Flask, payment_id: str) -> None:
    """Let the payment's lease or retry pause expire."""
    with app.app_context(), transaction() as session:
        past = utc_now() - timedelta(seconds=60)
        session.execute(update(Payment).where(Payment.id == payment_id).values(due_at=past))


def settle(app: Flask, payment_id: str) -> None:
    """Run the Celery task's service."""
    with app.app_context():
        settlement.settle(payment_id)


@dataclass
class Request:
    """A request that the payout service received."""

    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers["idempotency-key"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        parts = dict(part.split("=", 1) for part in self.headers["x-signature"].split(","))
        signed = parts["t"].encode() + b"." + self.body
        good = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        return hmac.compare_digest(parts["v1"], good) and abs(time.time() - int(parts["t"])) < 60


@dataclass
class Reply:
    """How the service responds. `before` runs after the request was read, `after` once the response was sent."""

    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    before: Callable[[], Any] | None = None
    after: Callable[[], Any] | None = None
    cut_after: int | None = None  # close the connection after this many bytes of the body
    pause: float = 0.0  # seconds after each byte of the body
    head: bytes = b""  # sent instead of the response; `pause` is after each byte of it


@dataclass
class PayoutService:
    """Pays each idempotency key once; `replies` are used one by one, then every request is paid.

    `choose` may return the reply to a request, or None for the next of `replies`.
    """

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    paid: dict[str, str] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)
    choose: Callable[[Request], Reply | None] = lambda _: None

    def reply_to(self, request: Request) -> tuple[Reply, bytes]:
        self.requests.append(request)
        reply = self.choose(request) or (self.replies.pop(0) if self.replies else Reply())
        if reply.body is not None or reply.status != 200:
            return reply, reply.body or b""
        reference = self.paid.setdefault(request.key, f"tx-{len(self.paid) + 1}")
        return reply, json.dumps({"reference": reference}).encode()


@contextmanager
def payout_service(certificate: tuple[Path, Path] | None = None) -> Iterator[PayoutService]:
    """A real HTTP server on loopback; with TLS when a certificate and its key are given."""
    service = PayoutService()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Request({name.lower(): value for name, value in self.headers.items()}, body)
            reply, answer = service.reply_to(request)
            if reply.before:
                reply.before()
            try:
                self._answer(reply, answer)
            except OSError:
                return  # the caller did not wait for the response
            if reply.after:
                reply.after()

        def _answer(self, reply: Reply, answer: bytes) -> None:
            if reply.head:
                self._write(reply.head, reply.pause)
                return
            self.send_response_only(reply.status)
            headers = {"Date": self.date_time_string(), "Content-Length": str(len(answer))} | reply.headers
            if "Transfer-Encoding" in headers:
                del headers["Content-Length"]
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self._write(answer[: reply.cut_after], reply.pause)

        def _write(self, answer: bytes, pause: float) -> None:
            for piece in [bytes([byte]) for byte in answer] if pause else [answer]:
                self.wfile.write(piece)
                time.sleep(pause)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    service.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}/payouts"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
