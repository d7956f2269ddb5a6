"""Only the canonical spelling of a path is served; any other is 404, whichever component would serve it."""

import pytest

from tests.security.raw_http import exchange, request
from tests.support.stack import Stack

TARGETS = [
    "//metrics",
    "/metrics//",
    "/./metrics",
    "/x/../metrics",
    "/%6detrics",
    "/%2e/metrics",
    "/x/%2e%2e/metrics",
    "/x\\..\\metrics",
    "//healthz",
    "/%68ealthz",
    "//",
    "//docs",
    "/static/css/../css/tokens.css",
    "/static//css/tokens.css",
    "/static/css%2ftokens.css",
    "/static/css%5ctokens.css",
    "//openapi.json",
    "/api//v1/protocols",
    "/api/v1/./protocols",
    "/api/v1/protocol%73",
    "/api/v1/x/../protocols",
    "/%61pi/v1/protocols",
    "//socket.io/?EIO=4&transport=polling",
    "/socket.io//?EIO=4&transport=polling",
    "/socket%2eio/?EIO=4&transport=polling",
    "/./socket.io/?EIO=4&transport=polling",
    "/socket.io/../socket.io/?EIO=4&transport=polling",
    "/x/..%2fmetrics",
    "/metrics%",
    "/metrics%zz",
]


@pytest.mark.parametrize("target", TARGETS)
def test_a_non_canonical_path_is_404(target: str, stack: Stack) -> None:
    reply = exchange(stack.port, request(target))

    assert (reply.status, reply.problem["code"]) == (404, "NOT_FOUND")
    assert "location" not in reply.headers
    assert "x-request-id" in reply.headers


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/docs", "/static/css/tokens.css", "/openapi.json"])
def test_the_canonical_path_is_served(path: str, stack: Stack) -> None:
    assert exchange(stack.port, request(path)).status == 200
    assert exchange(stack.port, request(f"{path}?a=//b/../%2e%zz")).status == 200


def test_an_upgrade_on_a_non_canonical_path_is_404(stack: Stack) -> None:
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    for path in ("//socket.io/", "/socket%2Eio/", "/x/../socket.io/"):
        target = f"{path}?EIO=4&transport=websocket"
        assert exchange(stack.port, request(target, *upgrade, key)).status == 404


def test_a_progress_report_to_a_non_canonical_path_is_404(stack: Stack) -> None:
    body = b"{}"
    fields = (f"Content-Length: {len(body)}", "Content-Type: application/json")
    for target in ("//api/v1/progress", "/api/v1/agent%73/a/progress"):
        assert exchange(stack.port, request(target, *fields, body=body, method="POST")).status == 404
