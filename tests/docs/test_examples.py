"""Each example of docs/examples works on a running system."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from app.payments.gateway import request_body, signature
from app.payments.models import Payment
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.support import document_tools, js_package, typescript
from tests.support.machine_speed import patience
from tests.support.node import ROOT, node_binary
from tests.support.processes import free_port, start, stop, until
from tests.support.project_files import is_ours
from tests.support.stack import Stack, StackMaker

EXAMPLES = ROOT / "docs" / "examples"
SECRET = "a secret of the tests alone, long enough"

pytestmark = [pytest.mark.slow]


def environment(stack: Stack, token: str) -> dict[str, str]:
    return {**os.environ, "DASHBOARD_URL": stack.url, "DASHBOARD_TOKEN": token}


AGENTS = {
    "package": [sys.executable, "agent.py"],
    "python": [sys.executable, "agent_without_package.py", "{agent_id}"],
    "curl": ["sh", "agent.sh", "{agent_id}"],
}


@pytest.mark.parametrize("command", AGENTS.values(), ids=AGENTS)
def test_the_agent_reports_progress_and_completes(stack: Stack, js, protocol_id: str, command: list[str]) -> None:
    agent_id = make_agent(stack.api)
    socket = stack.watch(js, protocol_id)
    token = stack.api.token("agent", sub=agent_id, protocols=[protocol_id])

    done = subprocess.run(
        [*(part.format(agent_id=agent_id) for part in command), protocol_id, "Fuzzing of Pool.sol"],
        cwd=EXAMPLES / "agent",
        env=environment(stack, token),
        capture_output=True,
        text=True,
        timeout=patience(60),
    )

    assert done.returncode == 0, done.stdout + done.stderr
    last = socket.wait_for_event("agent:task_update", 10, status="COMPLETED")
    assert last.data["progress"] == "100"
    assert last.data["task"] == "Fuzzing of Pool.sol"
    assert any(event.data["status"] == "RUNNING" for event in socket.events("agent:task_update"))


def test_the_agent_prints_why_it_was_rejected(stack: Stack, protocol_id: str) -> None:
    make_agent(stack.api, id=f"{protocol_id}-A")
    token = stack.api.token("agent", sub="somebody-else", protocols=[protocol_id])

    done = subprocess.run(
        [sys.executable, "agent_without_package.py", f"{protocol_id}-A", protocol_id, "Fuzzing"],
        cwd=EXAMPLES / "agent",
        env=environment(stack, token),
        capture_output=True,
        text=True,
        timeout=patience(60),
    )

    assert done.returncode != 0
    assert "FORBIDDEN" in done.stderr


def lines_of(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")] if log.exists() else []


def watch(
    stack: Stack, protocol_id: str, argv: list[str], log: Path, seen: Callable[[dict[str, object]], object]
) -> None:
    """Run a dashboard, deposit when it shows the pool, and wait until `seen` is true of a line."""
    token = stack.api.token("viewer", protocols=[protocol_id])
    process = start([*argv, protocol_id], log=log, env=environment(stack, token))
    try:
        until(lambda: "0.00" in (log.read_text() if log.exists() else ""), 20, f"the dashboard shows the pool: {log}")
        deposit(stack.api, protocol_id, "1234.5")
        agent_id = make_agent(stack.api)
        stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, progress=42)).expect(202)
        until(lambda: any(map(seen, lines_of(log))), 15, f"the dashboard shows the change: {log.read_text()[-2000:]}")
    finally:
        stop(process)


def test_the_plain_dashboard_shows_a_deposit(stack: Stack, protocol_id: str, tmp_path: Path) -> None:
    place = tmp_path / "docs" / "examples" / "dashboard"
    shutil.copytree(EXAMPLES / "dashboard", place, ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(js_package.installed() / "node_modules")

    def seen(line: dict[str, object]) -> object:
        pool = line.get("pool")
        return line.get("status") == "live" and isinstance(pool, dict) and pool["available"] == "1234.50"

    watch(stack, protocol_id, [node_binary(), str(place / "watch.mjs")], tmp_path / "watch.log", seen)


def test_the_python_dashboard_shows_a_deposit(stack: Stack, protocol_id: str, tmp_path: Path) -> None:
    def seen(line: dict[str, object]) -> object:
        return line["status"] == "live" and line["available"] == "1234.50" and "42 %" in str(line["tasks"])

    watch(stack, protocol_id, [sys.executable, str(EXAMPLES / "dashboard" / "watch.py")], tmp_path / "watch.log", seen)


@pytest.fixture
def react_dashboard(tmp_path: Path) -> list[str]:
    """The command that runs a copy of the React dashboard, with its pinned modules beside it."""
    place = tmp_path / "docs" / "examples" / "dashboard-react"
    shutil.copytree(EXAMPLES / "dashboard-react", place, ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(js_package.installed() / "node_modules")
    return [node_binary(), str(place / "main.mjs")]


def test_the_react_dashboard_shows_the_exact_amount_of_a_deposit(
    stack: Stack, protocol_id: str, tmp_path: Path, react_dashboard: list[str]
) -> None:
    drawn = [
        'data-status="live">live<',
        '<dd data-amount="total">1234.50 USDC</dd>',
        '<dd data-amount="available">1234.50 USDC</dd>',
        '<dd data-amount="reserved">0.00 USDC</dd>',
        ", 42 %, RUNNING</li>",
    ]
    log = tmp_path / "react.log"

    watch(stack, protocol_id, react_dashboard, log, lambda line: all(part in str(line["html"]) for part in drawn))

    before = next(line for line in lines_of(log) if "data-amount" in str(line["html"]))
    assert '<dd data-amount="available">0.00 USDC</dd>' in str(before["html"])


def test_the_react_dashboard_shows_why_it_was_rejected(
    stack: Stack, protocol_id: str, tmp_path: Path, react_dashboard: list[str]
) -> None:
    log = tmp_path / "react.log"
    process = start([*react_dashboard, protocol_id], log=log, env=environment(stack, "no token at all"))

    def refused() -> bool:
        htmls = [str(line["html"]) for line in lines_of(log)]
        return any('data-status="signed out"' in html and "UNAUTHORIZED: " in html for html in htmls)

    try:
        until(refused, 15, f"the dashboard says why: {log}")
    finally:
        stop(process)


def shows_the_deposit(line: dict[str, object]) -> object:
    return line["live"] and line["available"] == "1234.50" and line["tasks"]


def test_the_typescript_dashboard_without_the_package_compiles_and_shows_a_deposit(
    stack: Stack, protocol_id: str, tmp_path: Path
) -> None:
    main = typescript.compiled_once()

    watch(stack, protocol_id, [node_binary(), str(main)], tmp_path / "ts.log", shows_the_deposit)


def test_the_typescript_dashboard_compiles_and_shows_a_deposit(stack: Stack, protocol_id: str, tmp_path: Path) -> None:
    place = tmp_path / "docs" / "examples" / "dashboard-ts"
    shutil.copytree(EXAMPLES / "dashboard-ts", place, ignore=shutil.ignore_patterns("build"))
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(js_package.installed() / "node_modules")
    compiled = document_tools.run("tsc", "--project", place, "--skipLibCheck", cwd=place)
    assert compiled.returncode == 0, compiled.stdout

    watch(stack, protocol_id, [node_binary(), str(place / "build" / "main.js")], tmp_path / "ts.log", shows_the_deposit)


def test_a_misspelt_member_does_not_compile(tmp_path: Path) -> None:
    compiled = typescript.compile_copy(tmp_path, "available, reserved", "availible, reserved", "--skipLibCheck")

    assert "availible" in compiled.stdout
    assert compiled.returncode != 0


@pytest.fixture
def receiver(tmp_path: Path):
    port, log = free_port(), tmp_path / "receiver.log"
    argv = [sys.executable, EXAMPLES / "payouts" / "receiver.py", "--port", port, "--database", tmp_path / "payouts.db"]
    process = start(argv, log=log, env={**os.environ, "PAYOUT_SECRET": SECRET})
    until(lambda: log.exists() and "ready:" in log.read_text(), 10, "the receiver is ready")
    yield f"http://127.0.0.1:{port}"
    stop(process)


def test_the_receiver_pays_what_the_system_requests(receiver: str, make_stack: StackMaker) -> None:
    stack = make_stack(PAYOUT_URL=receiver, PAYOUT_SECRET=SECRET)
    api = stack.api
    protocol_id = make_protocol(api)
    deposit(api, protocol_id, "100")
    vulnerability_id = file_vulnerability(api, protocol_id, bounty="25.5")["id"]
    api.validator.post(f"/vulnerabilities/{vulnerability_id}/confirm", {}).expect(200)

    payment = api.owner.post(f"/vulnerabilities/{vulnerability_id}/payment", {"recipient": "0xabc"}).expect(202)

    def released() -> dict[str, object] | None:
        now = api.viewer.get(f"/payments/{payment['id']}").expect(200)
        assert now["status"] != "FAILED", now
        return now if now["status"] == "RELEASED" else None

    paid = until(released, 20, "the payment is released", pause=0.2)
    assert re.fullmatch(r"tx-[0-9a-f]{32}", paid["reference"])
    assert api.viewer.get(f"/protocols/{protocol_id}/pool").expect(200)["paid"] == "25.50"


def test_the_receiver_pays_a_repeated_request_once_and_a_forged_one_never(receiver: str) -> None:
    members = {"id": "pay-1", "protocol_id": "P1", "amount_minor": 1_000_000, "currency": "USDC", "recipient": "0xabc"}
    payment = Payment(**members, recipient_number=1)
    body = request_body(payment)
    now = int(time.time())

    def send(content: bytes, signed: str | bytes, key: str | None = "pay-1") -> requests.Response:
        headers = {"Idempotency-Key": key, "X-Signature": signed, "Content-Type": "application/json"}
        return requests.post(receiver, data=content, headers=headers, timeout=patience(10))

    first, again = (send(body, signature(SECRET, now, body)) for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()

    other = body.replace(b"0xabc", b"0xdef")
    assert send(other, signature(SECRET, now, other)).status_code == 422
    assert send(other, signature(SECRET, now, body)).status_code == 401
    assert send(body, signature("another secret", now, body)).status_code == 401
    assert send(body, signature(SECRET, now - 3600, body)).status_code == 401
    assert send(body, "nonsense").status_code == 401
    assert send(body, "t=²,v1=é".encode("latin-1")).status_code == 401
    assert send(body, signature(SECRET, now, body), key=None).status_code == 422
    assert send(body, signature(SECRET, now, body), key="pay-2").status_code == 422, "the signature covers no header"

    changed = request_body(Payment(**members | {"recipient": "0xdef"}, recipient_number=2))
    assert send(changed, signature(SECRET, now, changed)).status_code == 422
    paid = send(changed, signature(SECRET, now, changed), key="pay-1:2")
    assert (paid.status_code, paid.json() == first.json()) == (200, False)


def test_every_example_is_in_the_table_and_every_file_of_the_table_exists() -> None:
    table = (EXAMPLES / "README.md").read_text()
    named = set(re.findall(r"\]\(((?:agent|dashboard|payouts|webhooks|without-package)[^)]*)\)", table))

    assert all((EXAMPLES / name).exists() for name in named)
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and is_ours(path.name)}
    assert folders == {name.partition("/")[0] for name in named}
