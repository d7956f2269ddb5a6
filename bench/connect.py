"""The cost of a connection as clients make it, beside Node: `python -m bench connect`.

Each client has a token and a subject of its own, and joins its protocol's room in the handshake. Ours is a whole web
process; Node's is socket.io with the same tokens, verified in a middleware, and the same room.
"""

import argparse
import contextlib
import os
import secrets
import sys
import tempfile
import time
from unittest.mock import patch

from app.auth import tokens
from app.auth.permissions import Role
from app.config import load_config
from bench.fanout import Run, medians, printed
from bench.fanout_report import table
from bench.fanout_servers import PEERS, SERVER_CORE, Process, Valkey, command_of, install_peers

SERVERS = ("ours", "node")
CONNECTIONS = (1_000, 5_000)
WARM_UP = 1_000
REST = 0.05  # of a core
COLUMNS = [
    ("connect_us", "CPU per connection made, µs", 0),
    ("close_us", "CPU per connection closed, µs", 0),
    ("redis_us", "Redis's CPU for both, µs", 0),
]


@contextlib.contextmanager
def environment(valkey):
    """The settings of a web process with an empty SQLite database."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "DASHBOARD_HOME": folder,
            "DATABASE_URL": f"sqlite:///{folder}/bench.db",
            "REDIS_URL": valkey.url,
            "DASHBOARD_SIGNING_KEY": secrets.token_hex(32),
        }
        with patch.dict(os.environ, settings):
            yield load_config()


class ConnectRun(Run):
    """A server and clients with tokens of their own."""

    settle_seconds = 1.0

    def __init__(self, peer, valkey, settings, clients):
        self.settings = settings
        super().__init__(peer, valkey, clients)

    def start_server(self):
        if self.peer == "ours":
            return Process([sys.executable, PEERS / "web.py"], SERVER_CORE)
        command = command_of(self.peer, self.valkey)
        return Process([*command, self.settings.signing_key] if self.peer == "node" else command, SERVER_CORE)

    def measure(self):
        """The CPU time of each connection opened and closed, after some that let Node compile its code."""
        self.open(0, WARM_UP)
        self.close()
        redis = self.valkey.cpu_seconds()
        opening, closing = self.open(WARM_UP, self.clients), self.close()
        return {
            "connect_us": opening / self.clients * 1e6,
            "close_us": closing / self.clients * 1e6,
            "redis_us": (self.valkey.cpu_seconds() - redis) / self.clients * 1e6,
        }

    def open(self, first, count):
        return self.spent("connect", port=self.port, count=count, **self.connect_options(first, count))

    def close(self):
        return self.spent("close")

    def spent(self, command, **options):
        """The CPU seconds of the server until it is at rest again."""
        before = last = self.server.cpu_seconds()
        self.load.ask(command, **options)
        while True:
            time.sleep(self.settle_seconds)
            now = self.server.cpu_seconds()
            if now - last < REST * self.settle_seconds:
                return now - before
            last = now

    def connect_options(self, first, count):
        common = {"role": Role.VIEWER, "protocols": ["bench"], "ttl_seconds": 3600}
        names = (f"client-{number}" for number in range(first, first + count))
        return {"offer": True, "tokens": [tokens.issue(self.settings, subject=name, **common) for name in names]}


def measure(peer, valkey, settings, clients):
    run = ConnectRun(peer, valkey, settings, clients)
    try:
        return run.measure()
    finally:
        run.stop()


def main():
    parser = argparse.ArgumentParser(prog="python -m bench connect")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", default=",".join(map(str, CONNECTIONS)))
    options = parser.parse_args()
    install_peers()
    valkey = Valkey()
    try:
        for clients in map(int, options.connections.split(",")):
            rounds = []
            for _ in range(options.rounds):
                with environment(valkey) as settings:
                    rounds.append({peer: printed(peer, measure(peer, valkey, settings, clients)) for peer in SERVERS})
            results = {peer: medians([each[peer] for each in rounds]) for peer in SERVERS}
            ratios = sorted(each["ours"]["connect_us"] / each["node"]["connect_us"] for each in rounds)
            print(f"### {clients:,} connections, each with its own token, median of {options.rounds}\n")
            print(table(results, COLUMNS) + "\n")
            print(f"ours / node: {ratios[len(ratios) // 2]:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})\n", flush=True)
    finally:
        valkey.stop()
