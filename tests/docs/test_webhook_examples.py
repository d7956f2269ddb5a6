"""The examples that receive webhooks: each verifies, handles a message once, and repeats what it could not handle."""

import base64
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
import requests

from app.core.standard_webhooks import signed_headers
from tests.support.machine_speed import patience
from tests.support.node import ROOT, node_binary
from tests.support.processes import free_port, start, stop, until
from tests.support.webhook_receiver import status, webhook_receiver

EXAMPLES = ROOT / "docs" / "examples" / "webhooks"
SECRET, OLD = ("whsec_" + base64.b64encode(bytes([number]) * 24).decode() for number in (200, 3))
Start = Callable[..., tuple[str, Path]]


def event(severity: str = "CRITICAL", new: str = "CONFIRMED") -> bytes:
    data = {"vulnerabilityId": "v-ü", "newStatus": new, "severity": severity}
    return json.dumps({"type": "vuln:status_changed", "protocolId": "a<b", "data": data}).encode()


def post(
    url: str, body: bytes, message_id: str = "m1", *, secrets: Any = (SECRET,), age: float = 0, **more: str
) -> int:
    headers = signed_headers(message_id, int(time.time() - age), body, secrets)
    return requests.post(url, data=body, headers=headers | more, timeout=patience(10)).status_code


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Start]:
    """Start an example on a free port; returns its URL and the file of what it prints."""
    running: list[Popen[bytes]] = []

    def run(name: str, **environment: str) -> tuple[str, Path]:
        port, log, store = free_port(), tmp_path / f"{len(running)}.log", tmp_path / f"{name}.store"
        python = [sys.executable, EXAMPLES / name, "--port", port, "--database", store]
        argv = [node_binary(), EXAMPLES / name, port, store] if name.endswith("mjs") else python
        running.append(start(argv, log=log, env={**os.environ, "WEBHOOK_SECRET": SECRET, **environment}))
        until(lambda: log.exists() and "ready:" in log.read_text(), 10, f"{name} is ready")
        return f"http://127.0.0.1:{port}/", log

    yield run
    for each in running:
        stop(each)


@pytest.mark.parametrize("name", ["receiver.py", "receiver.mjs"])
def test_a_receiver_handles_each_genuine_message_once(begin: Start, name: str) -> None:
    url, log = begin(name)
    body = event()

    assert post(url, body) == post(url, body) == 204
    assert post(url, body, "m2", secrets=(OLD, SECRET)) == 204
    refused = [
        post(url, body, "m3", secrets=(OLD,)),
        post(url, body, "m3", age=3600),
        post(url, body, "m3", age=-3600),
        post(url, body, "m3", **{"webhook-signature": "v1,AAAA v2 v1, x"}),
        post(url, body, "m3", **{"webhook-id": "m4"}),
        post(url, body, "m3", **{"webhook-timestamp": "soon"}),
        requests.post(url, body, timeout=patience(10)).status_code,
    ]
    assert refused == [401] * len(refused)
    assert post(url, b"no JSON", "m5") == 503
    shown = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert shown == [json.loads(body)] * 2

    again, log = begin(name)
    assert post(again, body) == 204
    assert "{" not in log.read_text(), "it remembers what it has handled"


def test_the_relay_tells_slack_of_confirmations_and_repeats_what_slack_did_not_take(begin: Start) -> None:
    with webhook_receiver() as slack:
        url, _ = begin("slack.py", SLACK_URL=slack.script("T0", status(500), status(200)))

        assert [post(url, event(), "m1") for _ in range(3)] == [503, 204, 204]
        assert post(url, event(new="REJECTED"), "m2") == 204

        texts = [json.loads(each.body)["text"] for each in slack.received]
    assert texts == ["*CRITICAL* confirmed in a&lt;b: v-ü"] * 2
