"""Responses that clients do not read use bounded memory, and none after their connection has ended."""

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.http import rate_limits
from app.vulnerabilities.models import Vulnerability
from tests.factories import file_vulnerability, make_protocol
from tests.snapshot.test_state import multiply
from tests.support.api import Api
from tests.support.stack import ROOT, Stack

SERVER = """
import app.core.runtime as runtime
runtime.patch()
import gc, sys, time, weakref
from flask import Flask, Response
from app.http.server import serving
serving.SOCKET_SECONDS = 0.5
gc.disable()
made = []

class Body(list):
    pass

app = Flask("test")

@app.get("/")
def page():
    body = Body([b"x" * 8_000_000])
    made.append(weakref.ref(body))
    return Response(body, headers={"Content-Length": "8000000"})

listener = runtime.listen("127.0.0.1", 0)
server = serving._Server(app, listener, 100)
gc.disable()
runtime.spawn(server.accept_forever)
print(listener.getsockname()[1], flush=True)
deadline = time.monotonic() + 60
while time.monotonic() < deadline and not (len(made) == 10 and not server._connections):
    runtime.sleep(0.05)
runtime.sleep(0.1)
print(len(made), sum(ref() is not None for ref in made), flush=True)
"""


def test_a_response_is_freed_after_a_write_timeout_without_garbage_collection() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with ExitStack() as stack:
        server = stack.enter_context(
            subprocess.Popen([sys.executable, "-c", SERVER], env=environment, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(server.kill)
        port = int(server.stdout.readline())
        for _ in range(10):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

        made, kept = map(int, server.stdout.readline().split())

    assert (made, kept) == (10, 0)


def test_a_page_of_long_items_ends_early_and_the_cursor_reaches_all_items(api: Api, app) -> None:
    protocol_id = make_protocol(api)
    multiply(app, file_vulnerability(api, protocol_id, description="ü" * 20_000)["id"], 59)

    sizes, found, cursor = [], [], ""
    while cursor is not None:
        path = f"/protocols/{protocol_id}/vulnerabilities?limit=200{cursor and '&cursor=' + cursor}"
        answer = api.viewer.get(path)
        page = answer.expect(200)
        sizes.append(len(answer.body))
        found += [each["id"] for each in page["items"]]
        cursor = page["nextCursor"]

    assert max(sizes) <= 1024 * 1024
    assert (len(found), len(set(found))) == (60, 60)


def test_an_item_longer_than_a_page_is_a_page_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.core.pagination.MAX_BYTES", 100)
    from app.core.pagination import page_of

    rows = [Vulnerability(id=str(number), description="x" * 200) for number in range(3)]
    assert [row.id for row in page_of(rows, 2, lambda row: [row.id]).items] == ["0"]


def unread(stack: Stack, path: str, token: str) -> socket.socket:
    """A connection that asks for something, takes little in, and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", int(stack.url.rpartition(":")[2])))
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    client.sendall(head.encode())
    return client


def memory_of(pid: int) -> int:
    """Resident, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


def test_40_clients_that_do_not_read_a_long_list_use_little_memory(stack: Stack) -> None:
    api, protocol_id = stack.api, make_protocol(stack.api)
    body = {"title": "t", "severity": "LOW", "description": "x" * 20_000}
    for _ in range(200):
        api.validator.post(f"/protocols/{protocol_id}/vulnerabilities", body).expect(201)
    path, token = f"/protocols/{protocol_id}/vulnerabilities?limit=200", api.token("viewer")
    with ExitStack() as clients:
        clients.callback(unread(stack, f"/api/v1{path}", token).close)
        before = memory_of(stack.pid("web-1"))
        for _ in range(40):
            clients.callback(unread(stack, f"/api/v1{path}", token).close)
        assert api.viewer.get(path).status == 200  # comes after all of them

        assert memory_of(stack.pid("web-1")) - before < 60


def test_an_open_response_counts_until_it_is_closed(api: Api, app, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "MAX_UNSENT_BYTES", 1500)
    monkeypatch.setattr(rate_limits, "MIN_COUNTED_BYTES", 1000)
    protocol_id = make_protocol(api)
    file_vulnerability(api, protocol_id, description="x" * 800)
    client, token = app.test_client(), api.token("viewer")

    def get():
        headers = {"Authorization": f"Bearer {token}"}
        return client.get(f"/api/v1/protocols/{protocol_id}/vulnerabilities", headers=headers)

    first = get()
    second = get()
    first.close()
    third = get()

    assert [each.status_code for each in (first, second, third)] == [200, 429, 200]
    assert json.loads(second.data)["code"] == "TOO_MANY_OPEN_ANSWERS"
