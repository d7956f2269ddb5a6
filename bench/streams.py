"""Server-Sent Events beside WebSockets, both in a whole web process: `python -m bench streams`."""

import argparse
import os
import secrets
import sys
import tempfile

from app.auth import tokens
from app.auth.permissions import Role
from app.config import load_config
from bench.fanout import BURST, CLIENTS, EVENT_BYTES, Run, medians, printed
from bench.fanout_report import table
from bench.fanout_servers import PEERS, SERVER_CORE, Process, Valkey

KINDS = ("websocket", "stream")
COLUMNS = [
    ("us@10", "CPU per delivery at 10/s, µs", 1),
    ("us@40", "CPU per delivery at 40/s, µs", 1),
    ("p50@40", "latency p50 at 40/s, ms", 1),
    ("p99@40", "latency p99 at 40/s, ms", 1),
    ("per_second@burst", "burst, deliveries a second", 0),
    ("us@burst", "burst, CPU per delivery, µs", 2),
    ("connect_us", "CPU per connection made, µs", 0),
    ("memory_kb", "memory per connection, KB", 1),
    ("lost@40", "lost at 40/s", 0),
]


class WebRun(Run):
    """A web process whose clients are all sockets or all streams of one room."""

    def __init__(self, kind, valkey, token):
        self.kind, self.token = kind, token
        super().__init__("ours", valkey, CLIENTS)

    def start_server(self):
        return Process([sys.executable, PEERS / "web.py"], SERVER_CORE)

    def connect_options(self, first, count):
        del first, count
        return {"tokens": [self.token], "stream": self.kind == "stream", "offer": True}


def measure(kind, valkey):
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "DASHBOARD_HOME": folder,
            "DATABASE_URL": f"sqlite:///{folder}/bench.db",
            "REDIS_URL": valkey.url,
            "DASHBOARD_SIGNING_KEY": secrets.token_hex(32),
        }
        os.environ.update(settings)
        token = tokens.issue(load_config(), subject="bench", role=Role.VIEWER, protocols=["bench"], ttl_seconds=3600)
        run = WebRun(kind, valkey, token)
        try:
            figures = run.connect()
            run.steady(10, 1)
            for rate in (10, 40):
                figures |= {f"{key}@{rate}": value for key, value in run.steady(rate).items()}
            figures |= {f"{key}@burst": value for key, value in run.burst(BURST).items()}
        finally:
            run.stop()
    return figures


def main():
    parser = argparse.ArgumentParser(prog="python -m bench streams")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    valkey = Valkey()
    try:
        rounds = [{kind: printed(kind, measure(kind, valkey)) for kind in KINDS} for _ in range(options.rounds)]
    finally:
        valkey.stop()
    results = {kind: medians([each[kind] for each in rounds]) for kind in KINDS}
    print(f"### {CLIENTS:,} clients of a web process in a room, {EVENT_BYTES} bytes, median of {options.rounds}\n")
    print(table(results, COLUMNS))
    ratios = [f"{key} {results['stream'][key] / results['websocket'][key]:.2f}" for key, _, _ in COLUMNS[:2]]
    print("\nstream / websocket: " + ", ".join(ratios))
