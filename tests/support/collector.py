"""A server for traces and crash reports that stores what it receives, or never responds."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACES = "/v1/traces"
PROJECT = "42"
MAX_HANG_SECONDS = 120


@dataclass
class Span:
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    service: str


@dataclass
class Collector:
    """`received` holds (path, headers, decompressed body) of every request."""

    answers: bool
    received: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    @property
    def dsn(self) -> str:
        return f"{self.url.replace('http://', 'http://publickey@')}/{PROJECT}"

    @property
    def everything(self) -> bytes:
        """All received bytes, including headers."""
        return b"\n".join(repr(headers).encode() + path.encode() + body for path, headers, body in self.received)

    def spans(self) -> list[Span]:
        bodies = [body for path, _, body in list(self.received) if path == TRACES]
        return [span for body in bodies for span in _spans(ExportTraceServiceRequest.FromString(body))]

    def crashes(self) -> list[dict[str, Any]]:
        """The events in the received envelopes."""
        bodies = [body for path, _, body in list(self.received) if path == f"/api/{PROJECT}/envelope/"]
        return [event for body in bodies for event in _events(body)]


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        service = _values(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.kind,
                    _values(span.attributes),
                    [(event.name, _values(event.attributes)) for event in span.events],
                    service,
                )


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def _events(envelope: bytes) -> Iterator[dict[str, Any]]:
    lines = envelope.split(b"\n")
    for head, body in zip(lines[1::2], lines[2::2], strict=False):
        if json.loads(head)["type"] == "event":
            yield json.loads(body)


@contextmanager
def collecting(*, answers: bool = True) -> Iterator[Collector]:
    """A running collector; with `answers=False` it reads requests without responding."""
    collector = Collector(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            packed = self.headers.get("Content-Encoding") == "gzip"
            collector.received.append((self.path, dict(self.headers), gzip.decompress(body) if packed else body))
            if not collector.answers:
                collector.enough.wait(MAX_HANG_SECONDS)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.enough.set()
        server.shutdown()
        server.server_close()
