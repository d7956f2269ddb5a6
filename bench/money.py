"""The cost of a deposit, beside a peer and the bare statements: `python -m bench money`.

Ours, the peer and the floor use one database and its schema, and take turns in each round. Each deposit changes pool,
ledger, event counter, outbox, audit log and idempotency key in one transaction; ours and the peer also emit its event
and mark it as sent.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time

from bench.database import cpu_of_family
from bench.fanout_servers import LOAD_CORE, PEERS, SERVER_CORE, Process, Valkey
from bench.ingest_load import Connections, post
from bench.ingest_servers import KEY, PYTHON_PEERS, Web, install_peers, pin
from tests.factories import make_protocol
from tests.support import servers

POOLS = 40
CONNECTIONS = 8
REQUESTS = 400
LONE, LONE_PER_SECOND = 45, 9
FLOOR_DEPOSITS = 1_000
ROWS = [
    ("lone", "a lone deposit, nine a second: CPU of web, ms"),
    ("lone_repeated", "the same requests again, nine a second: CPU of web, ms"),
    ("web", f"{CONNECTIONS} connections, {POOLS} pools: CPU of web, ms"),
    ("repeated", "the same requests again, answered from their keys: CPU of web, ms"),
    ("database", "the same: CPU of the database, ms"),
    ("per_second", "the same: deposits a second"),
    ("p99", "the same: p99, ms"),
    ("hot_web", f"{CONNECTIONS} connections, one pool: CPU of web, ms"),
    ("hot_per_second", "the same: deposits a second"),
]


class Bench:
    """Ours, the peer and the floor on one database."""

    def __init__(self, kind):
        pin(LOAD_CORE)
        self.valkey = Valkey()
        self.postgres = servers.start_postgres() if kind == "postgresql" else None
        self.web = Web(self.valkey.url, self.postgres and self.postgres.create("bench"))
        self.url = self.postgres.url("bench") if self.postgres else f"sqlite:///{self.web.folder}/bench.db"
        peer = [PYTHON_PEERS / "bin" / "python", PEERS / "fastapi_money.py", self.url, self.valkey.port, KEY]
        self.peer = Process(peer, SERVER_CORE)
        self.peer.port = int(self.peer.first_line())
        self.token = self.web.api.token("admin")
        self.pools = [make_protocol(self.web.api) for _ in range(POOLS)]
        self.numbers = itertools.count()

    def requests(self, count, pools):
        for number, pool in zip(range(count), itertools.cycle(pools), strict=False):
            key = f"bench-{next(self.numbers)}"
            body = json.dumps({"amount": "1.50", "reference": f"invoice {number}"}).encode()
            yield post(f"/api/v1/protocols/{pool}/deposits", self.token, body, f"Idempotency-Key: {key}\r\n")

    def lone(self, server):
        """CPU of one deposit after the other, with pauses in which everything falls asleep; then of the same again."""
        requests, client = list(self.requests(LONE, self.pools)), Connections(server.port, 1)
        found = {}
        for name in ("lone", "lone_repeated"):
            began, cpu = time.monotonic(), server.cpu_seconds()
            for number, request in enumerate(requests):
                time.sleep(max(0.0, began + number / LONE_PER_SECOND - time.monotonic()))
                client.send_all([request], b"201")
            found[name] = (server.cpu_seconds() - cpu) / LONE * 1e3
        client.close()
        return found

    def load(self, server, pools):
        client, requests = Connections(server.port, CONNECTIONS), list(self.requests(REQUESTS, pools))
        cpu, family = server.cpu_seconds(), self.postgres and cpu_of_family(self.postgres.process.pid)
        ages, seconds = client.send_all(requests, b"201")
        found = {
            "web": (server.cpu_seconds() - cpu) / REQUESTS * 1e3,
            "database": (cpu_of_family(self.postgres.process.pid) - family) / REQUESTS * 1e3 if self.postgres else 0.0,
            "per_second": REQUESTS / seconds,
            "p99": ages[int(REQUESTS * 0.99)],
        }
        cpu = server.cpu_seconds()
        client.send_all(requests, b"201")  # the same without its transaction and event
        client.close()
        return found | {"repeated": (server.cpu_seconds() - cpu) / REQUESTS * 1e3}

    def measured(self, server):
        hot = self.load(server, self.pools[:1])
        hot = {f"hot_{name}": hot[name] for name in ("web", "per_second")}
        return self.lone(server) | self.load(server, self.pools) | hot

    def floor(self):
        """CPU of the statements alone, prepared, in a process without HTTP."""
        command = [sys.executable, PEERS / "money_floor.py", self.url, str(FLOOR_DEPOSITS), *self.pools]
        family = self.postgres and cpu_of_family(self.postgres.process.pid)
        ran = subprocess.run(["taskset", "-c", str(SERVER_CORE), *command], capture_output=True, text=True, check=True)
        found = json.loads(ran.stdout)
        if self.postgres:
            found["database"] = (cpu_of_family(self.postgres.process.pid) - family) / FLOOR_DEPOSITS * 1e3
        return found

    def round(self):
        return {"ours": self.measured(self.web), "fastapi": self.measured(self.peer), "floor": self.floor()}

    def stop(self):
        self.peer.stop()
        self.web.stop()
        self.valkey.stop()
        if self.postgres:
            servers.stop_server(self.postgres)


def run(kind, rounds):
    bench = Bench(kind)
    try:
        for server in (bench.web, bench.peer):
            bench.load(server, bench.pools)
        found = [bench.round() for _ in range(rounds)]
    finally:
        bench.stop()
    print(kind, json.dumps(found), file=sys.stderr, flush=True)
    return found


def cell(found, name, row, digits):
    values = sorted(each[name][row] for each in found if row in each[name])
    if not values:
        return "–"
    return f"{statistics.median(values):,.{digits}f} ({values[0]:,.{digits}f} to {values[-1]:,.{digits}f})"


def report(kind, found):
    lines = [f"| {kind} | ours | FastAPI | floor |", "|---|---|---|---|"]
    for row, title in ROWS:
        digits = 0 if "second" in row or row == "p99" else 2
        cells = [cell(found, name, row, digits) for name in ("ours", "fastapi", "floor")]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    for row in ("lone", "web", "hot_web"):
        ratios = [each["ours"][row] / each["fastapi"][row] for each in found]
        lines.append(f"{row}: ours / FastAPI {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="python -m bench money")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", default="sqlite,postgresql")
    options = parser.parse_args()
    install_peers()
    load = os.getloadavg()[0]
    tables = [report(kind, run(kind, options.rounds)) for kind in options.kinds.split(",")]
    print(f"### A deposit, load average {load:.1f}, median of {options.rounds} rounds\n\n" + "\n\n".join(tables))
