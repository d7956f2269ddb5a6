"""Chunked request bodies are decoded like any other, rejected if malformed, and bounded if the view ignores them."""

import json
import subprocess

import pytest

from tests.factories import deposit, file_vulnerability, make_agent, report
from tests.security.raw_http import Reply, chunked, exchange, request
from tests.security.raw_websocket import connect, memory_kib
from tests.support.machine_speed import patience
from tests.support.node import node_binary
from tests.support.stack import Stack

MIB = 1024 * 1024
CHUNKS = "Transfer-Encoding: chunked"
MALFORMED = {
    "invalid size": b"zz\r\n",
    "truncated": b"5\r\n{}",
    "no last chunk": b"2\r\n{}\r\n",
    "longer than its size": b"1\r\n{}\r\n0\r\n\r\n",
    "endless extension": b"2;" + b"a" * 5000,
    "endless trailer": b"2\r\n{}\r\n0\r\nX: " + b"a" * 5000,
}


def post(stack: Stack, role: str, path: str, body: bytes, **more: bool) -> Reply:
    """Send a body that is already chunked."""
    fields = (f"Authorization: Bearer {stack.api.token(role)}", "Content-Type: application/json", CHUNKS)
    return exchange(stack.port, request(f"/api/v1{path}", *fields, body=body, method="POST"), seconds=10, **more)


def as_chunks(body: object, size: int = 7) -> bytes:
    text = json.dumps(body).encode()
    return chunked(*(text[at : at + size] for at in range(0, len(text), size)))


def test_a_chunked_deposit_is_accepted(stack: Stack, protocol_id: str) -> None:
    reply = post(stack, "owner", f"/protocols/{protocol_id}/deposits", as_chunks({"amount": "12.50"}))

    assert (reply.status, reply.closed) == (201, False)
    assert json.loads(reply.body)["pool"]["total"] == "12.50"


def test_a_chunked_confirmation_reserves_its_bounty(stack: Stack, protocol_id: str) -> None:
    deposit(stack.api, protocol_id, "100")
    vulnerability_id = file_vulnerability(stack.api, protocol_id)["id"]

    reply = post(stack, "validator", f"/vulnerabilities/{vulnerability_id}/confirm", as_chunks({"bounty": "5.00"}))

    assert reply.status == 200
    assert json.loads(reply.body)["bounty"] == "5.00"


def test_a_chunked_progress_report_is_accepted(stack: Stack, protocol_id: str) -> None:
    path = f"/agents/{make_agent(stack.api)}/progress"

    for progress in (1, 2):  # the second report takes the fast path
        assert post(stack, "admin", path, as_chunks(report(protocol_id, "scan", progress))).status == 202


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_chunked_body_is_rejected_with_400_and_changes_nothing(
    case: str, stack: Stack, protocol_id: str
) -> None:
    vulnerability_id = file_vulnerability(stack.api, protocol_id)["id"]

    reply = post(stack, "validator", f"/vulnerabilities/{vulnerability_id}/confirm", MALFORMED[case], then_end=True)

    assert (reply.status, reply.problem["code"], reply.closed) == (400, "BAD_REQUEST", True)
    assert reply.headers["connection"] == "close"
    assert stack.api.viewer.get(f"/vulnerabilities/{vulnerability_id}").json["status"] == "PENDING"


def test_a_chunked_body_over_1_mib_is_rejected_with_413(stack: Stack, protocol_id: str) -> None:
    path, text = f"/protocols/{protocol_id}/deposits", b'{"amount": "1.00"}'
    fits, exceeds = b" " * (MIB - len(text)), b" " * (MIB - len(text) + 1)

    assert post(stack, "owner", path, chunked(text, fits)).status == 201
    assert post(stack, "owner", path, chunked(text, exceeds)).problem["code"] == "BODY_TOO_LARGE"
    assert post(stack, "owner", path, chunked(text, exceeds * 3)).problem["code"] == "BODY_TOO_LARGE"


def test_an_unread_chunked_body_is_discarded_and_the_connection_stays_usable(stack: Stack) -> None:
    ignored = request("/healthz", CHUNKS, body=chunked(b"x" * 100_000))

    reply = exchange(stack.port, ignored + request("/healthz", "Connection: close"))

    assert (reply.status, reply.closed) == (200, True)
    assert reply.rest.startswith(b"HTTP/1.1 200 ")


def send_until_closed(port: int, begin: bytes, more: bytes) -> None:
    """Send up to 100 MiB. Raises ConnectionError when the server closes the connection."""
    with connect(port) as sock:
        sock.sendall(begin)
        for _ in range(100 * MIB // len(more)):
            sock.sendall(more)


@pytest.mark.parametrize("begin", [b"2;", b"0\r\nX: ", b"0\r\n"], ids=["size", "trailer", "trailers"])
def test_endless_chunk_extensions_and_trailers_do_not_use_unbounded_memory(begin: bytes, stack: Stack) -> None:
    pid, line = stack.pid("web-1"), b"X: " + b"y" * 1019 + b"\r\n" if begin.endswith(b"\n") else b"a" * 1024
    before = memory_kib(pid)

    with pytest.raises(ConnectionError):
        send_until_closed(stack.port, request("/healthz", CHUNKS, body=begin), line)

    assert memory_kib(pid) < before + 20 * 1024


def test_a_chunked_body_of_nodes_http_client_is_accepted(stack: Stack, protocol_id: str) -> None:
    script = f"""
        const request = require("http").request("{stack.url}/api/v1/protocols/{protocol_id}/deposits",
            {{method: "POST", headers: {{"Content-Type": "application/json",
              Authorization: "Bearer {stack.api.token("owner")}"}}}},
            (answer) => {{ console.log(answer.statusCode); answer.resume(); }});
        request.write('{{"amount":'); request.write('"3.00"}}'); request.end();
    """
    ended = subprocess.run([node_binary(), "-e", script], capture_output=True, text=True, timeout=patience(30))

    assert ended.stdout.strip() == "201", ended
