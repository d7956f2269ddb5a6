"""The cost of database operations: `python -m bench database`. Deposits, reservations, decisions and `/state`.

Over HTTP, with a real `dashboard web`, Redis and database: what a caller gets, not what a statement costs.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import time
import timeit
from pathlib import Path

from bench import database_rows
from bench.fanout_servers import LOAD_CORE, Valkey
from bench.ingest_load import Connections, post
from bench.ingest_servers import KEY, UNLIMITED, Web, pin
from tests.factories import make_protocol
from tests.support import databases, servers
from tests.support.apps import make_app

CONNECTIONS = 8
REQUESTS = 120
POOLS = 40
STATE_AGENTS, STATE_VULNERABILITIES = 1_000, 10_000
STATE_READS, UNCHANGED_READS = 9, 45


def cpu_of_family(pid):
    """CPU seconds of a process and of all its children, also of those that ended."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(stat.parent.name) == pid:
            total += sum(int(fields[number]) for number in (11, 12, 13, 14))
        elif int(fields[1]) == pid:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


class Bench:
    """A web process on one of the databases."""

    def __init__(self, kind):
        pin(LOAD_CORE)
        self.kind, self.valkey = kind, Valkey()
        self.postgres = servers.start_postgres() if kind == "postgresql" else None
        self.url = self.postgres and self.postgres.create("bench")
        self.web = Web(self.valkey.url, self.url)
        self.url = self.url or f"sqlite:///{self.web.folder}/bench.db"
        self.admin = self.web.api.token("admin")
        self.client = Connections(self.web.port, CONNECTIONS)
        self.numbers = itertools.count()
        self.pools = [make_protocol(self.web.api) for _ in range(POOLS)]
        deposits = ((f"/api/v1/protocols/{pool}/deposits", {"amount": "900000.00"}) for pool in self.pools)
        self.client.send_all(self.posts(deposits), b"201")

    def posts(self, requests):
        return [post(path, self.admin, json.dumps(body).encode()) for path, body in requests]

    def app(self):
        """The app in this process, to insert rows into the same database."""
        settings = databases.environment(
            home=self.web.folder, database_url=self.url, redis_url=self.valkey.url, signing_key=KEY, **UNLIMITED
        )
        return make_app(databases.load_config(settings))

    def measure(self, requests, status):
        requests = self.posts(requests)
        cpu, family = self.web.cpu_seconds(), self.postgres and cpu_of_family(self.postgres.process.pid)
        ages, seconds = self.client.send_all(requests, status)
        count = len(requests)
        return {
            "per_second": count / seconds,
            "web_ms": (self.web.cpu_seconds() - cpu) / count * 1e3,
            "db_ms": (cpu_of_family(self.postgres.process.pid) - family) / count * 1e3 if self.postgres else 0.0,
            "p99": ages[int(count * 0.99)],
        }

    def deposits(self, pools):
        targets = itertools.islice(itertools.cycle(pools), REQUESTS)
        return self.measure(((f"/api/v1/protocols/{pool}/deposits", {"amount": "1.50"}) for pool in targets), b"201")

    def reservations(self, pools):
        body = {"title": "Reentrancy in withdraw()", "severity": "HIGH", "bounty": "1.00"}
        targets = itertools.islice(itertools.cycle(pools), REQUESTS)
        return self.measure(((f"/api/v1/protocols/{pool}/vulnerabilities", body) for pool in targets), b"201")

    def decisions(self, pools):
        """Confirm half of the pending vulnerabilities and reject the other half."""
        each = REQUESTS // len(pools)
        with self.app() as app, app.app_context():
            numbers = [next(self.numbers) for _ in range(each)]
            rows = [database_rows.vulnerability(pool, n, "PENDING") for pool in pools for n in numbers]
            database_rows.add(database_rows.Vulnerability, rows)
        reject = ("reject", {"reason": "Not exploitable."})
        verbs = itertools.cycle([("confirm", {}), reject])
        return self.measure(
            (
                (f"/api/v1/vulnerabilities/{row['id']}/{verb}", body)
                for row, (verb, body) in zip(rows, verbs, strict=False)
            ),
            b"200",
        )

    def state(self):
        """`/state` of a protocol with many agents and vulnerabilities."""
        big = make_protocol(self.web.api)
        with self.app() as app, app.app_context():
            vulnerabilities = (database_rows.vulnerability(big, n) for n in range(STATE_VULNERABILITIES))
            database_rows.add(database_rows.Vulnerability, vulnerabilities)
            names = [database_rows.agent(n, big) for n in range(STATE_AGENTS)]
            database_rows.add(database_rows.Agent, names)
        reports = [
            {"agentId": f"agent-{n}", "protocolId": big, "task": "Scan", "progress": 5} for n in range(STATE_AGENTS)
        ]
        for first in range(0, STATE_AGENTS, 100):
            self.web.api.admin.post("/progress", {"updates": reports[first : first + 100]}).expect(202)
        deposit = (f"/api/v1/protocols/{big}/deposits", {"amount": "1.50"})
        plain = f"GET /api/v1/protocols/{big}/state HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.admin}\r\n"
        alone = Connections(self.web.port, 1)

        def read(status, fields="", before=(), count=STATE_READS):
            """The median of the answers' ages and the CPU time of the web process, in milliseconds."""
            ages, spent = [], 0.0
            for _ in range(count):
                alone.send_all(self.posts(before), b"201")
                cpu = self.web.cpu_seconds()
                ages += alone.send_all([f"{plain}{fields}\r\n".encode()], status)[0]
                spent += self.web.cpu_seconds() - cpu
            return {"p50": statistics.median(ages), "web_ms": spent / count * 1e3}

        try:
            after_event = read(b"200", before=[deposit])
            known = self.web.api.admin.get(f"/protocols/{big}/state")
            tag = f"If-None-Match: {known.headers['etag']}\r\n"
            again, unchanged = read(b"200"), read(b"304", tag, count=UNCHANGED_READS)
        finally:
            alone.close()
        times = timeit.repeat(lambda: json.loads(known.body), number=1, repeat=STATE_READS, timer=time.process_time)
        reading = {"p50": min(times) * 1e3, "web_ms": min(times) * 1e3}
        found = {"after an event": after_event, "again": again, "unchanged (304)": unchanged, "its JSON read": reading}
        return found | {"kilobytes": len(known.body) / 1024}

    def stop(self):
        self.client.close()
        self.web.stop()
        self.valkey.stop()
        if self.postgres:
            servers.stop_server(self.postgres)


def run(kind, rounds):
    bench = Bench(kind)
    try:
        works = {
            f"{name}, {where}": (work, pools)
            for name, work in (
                ("deposits", bench.deposits),
                ("reservations", bench.reservations),
                ("decisions", bench.decisions),
            )
            for where, pools in (("one hot pool", bench.pools[:1]), (f"{POOLS} pools", bench.pools))
        }
        kept = {name: [] for name in works}
        for _ in range(rounds):
            for name, (work, pools) in works.items():
                kept[name].append(work(pools))
        results = {
            name: {key: statistics.median(e[key] for e in all_) for key in all_[0]} for name, all_ in kept.items()
        }
        print(kind, json.dumps(results), file=sys.stderr, flush=True)
        return results, bench.state()
    finally:
        bench.stop()


def report(found):
    lines = ["| | database | a second | CPU of web, ms each | CPU of database, ms each | p99, ms |", "|---" * 6 + "|"]
    for kind, (results, _) in found.items():
        for name, each in results.items():
            own = f"{each['db_ms']:.2f}" if kind == "postgresql" else "(in web)"
            lines.append(
                f"| {name} | {kind} | {each['per_second']:,.0f} | {each['web_ms']:.2f} | {own} | {each['p99']:,.0f} |"
            )
    what = f"`/state`: {STATE_AGENTS:,} agents, {STATE_VULNERABILITIES:,} findings"
    lines += ["", f"| {what} | database | p50, ms | CPU of web, ms |", "|---" * 4 + "|"]
    for kind, (_, state) in found.items():
        size = state.pop("kilobytes")
        for name, each in state.items():
            title = f"{name}, {size:,.0f} KB" if name == "again" else name
            lines.append(f"| {title} | {kind} | {each['p50']:,.1f} | {each['web_ms']:,.1f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="python -m bench database")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", default="sqlite,postgresql")
    options = parser.parse_args()
    found = {kind: run(kind, options.rounds) for kind in options.kinds.split(",")}
    print(f"### Database side, {CONNECTIONS} connections, median of {options.rounds} rounds\n\n" + report(found))
