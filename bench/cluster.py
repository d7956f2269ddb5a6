"""Redis's CPU time for the same load on one server and on a cluster of three primaries: `python -m bench cluster`.

The primaries have no replicas, as the single server has none: replication costs the same in both. Beside it, the floor:
one script on a single server, and the same calls spread over three servers that know nothing of each other. What these
cost more is the machine's: three processes take turns on two cores, with colder caches, and each has its own timers.
"""

import argparse
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import redis

from app.background import create_background_app
from app.config import load_config
from app.realtime import limiter
from app.realtime.events import EventType
from app.realtime.redis_keys import channel_of, slot_of_key
from app.realtime.scripts import room_scripts
from bench.flush import DATA
from bench.guard import _redis_seconds as cpu_seconds
from bench.ingest_servers import KEY
from tests.support import servers
from tests.support.databases import environment
from tests.support.valkey_cluster import valkey_cluster

ROOMS, AGENTS_PER_ROOM, BATCH = 1_000, 10, 100
SCRIPT_CALLS, SCRIPT_KEYS = 3_000, 19
SCRIPT = "for i = 1, 14 do redis.call('HSET', KEYS[1], ARGV[1] .. i, ARGV[1]) end"
ROUND_SECONDS = 1.2  # in which a room may emit all that a round brings
POOL = {
    "changeType": "DEPOSIT",
    "amount": "1.00",
    "total": "1.00",
    "available": "1.00",
    "currency": "USDC",
    "version": "1",
}


class Side:
    """One kind of Redis: its servers, the app that uses it, and a subscriber of every room."""

    def __init__(self, folder, rooms_url, control_url, clients):
        self.clients = clients
        settings = environment(
            home=folder, database_url=f"sqlite:///{folder}/bench.db", redis_url=control_url, signing_key=KEY
        )
        self.app = create_background_app(load_config(settings | {"ROOMS_REDIS_URL": rooms_url}))
        self.used = [[] for _ in clients]
        self.rooms = [f"room-{number}" for number in range(ROOMS)]
        with self.app.app_context():
            self.subscribers = self._subscribe()

    def _subscribe(self):
        """Connections that Redis writes to; nobody reads what they receive."""
        topology, subscribers = room_scripts().nodes.topology, {}
        for room in self.rooms:
            channel = channel_of(room)
            name = topology.owner(slot_of_key(channel))
            if name not in subscribers:
                subscribers[name] = topology.client(name).pubsub()
            subscribers[name].ssubscribe(channel)
        return subscribers

    def round(self, number):
        before = [cpu_seconds(client) for client in self.clients]
        with self.app.app_context():
            self._load(number)
        for used, client, start in zip(self.used, self.clients, before, strict=True):
            used.append(cpu_seconds(client) - start)

    def _load(self, number):
        agents = [(f"agent-{room}-{n}", room) for room in self.rooms for n in range(AGENTS_PER_ROOM)]
        for first in range(0, len(agents), BATCH):
            batch = [
                limiter.RunningReport(name, room, "Scan", DATA % (first, number))
                for name, room in agents[first : first + BATCH]
            ]
            limiter.report(batch)
        for room in self.rooms:
            limiter.emit(room, EventType.BOUNTY_POOL_UPDATED, json.dumps(POOL))
        end, emitted = time.monotonic() + ROUND_SECONDS, 0
        while time.monotonic() < end:
            emitted += sum(limiter.drain().emitted.values())
            time.sleep(0.125)


def measure(rounds):
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dashboard-bench-")))
        cluster = stack.enter_context(valkey_cluster(folder / "cluster", replicas=False))
        single, control = (servers.start_valkey(folder) for _ in range(2))
        for server in (single, control):
            stack.callback(servers.stop_server, server)
        sides = [
            Side(folder, single.url(), control.url(), [single.client()]),
            Side(
                folder, cluster.url, control.url(), [redis.Redis(port=node.port, protocol=2) for node in cluster.nodes]
            ),
        ]
        for number in range(rounds + 1):
            for side in sides:
                side.round(number)
    return [[statistics.median(used[1:]) * 1e3 for used in side.used] for side in sides]


def measure_floor(rounds):
    """The CPU time of the same script calls on three servers, as a multiple of their time on one."""
    ratios, keys = [], [f"{{room}}{number}" for number in range(SCRIPT_KEYS)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dashboard-bench-")))
        started = [servers.start_valkey(folder) for _ in range(4)]
        for server in started:
            stack.callback(servers.stop_server, server)
        one, *three = (server.client() for server in started)
        for _ in range(rounds):
            seconds = []
            for clients in ([one], three):
                before = sum(map(cpu_seconds, clients))
                for number in range(SCRIPT_CALLS):
                    clients[number % len(clients)].eval(SCRIPT, SCRIPT_KEYS, *keys, number % 500)
                seconds.append(sum(map(cpu_seconds, clients)) - before)
            ratios.append(seconds[1] / seconds[0])
    return statistics.median(ratios)


def report(single, cluster, floor):
    total = sum(cluster)
    lines = ["| | CPU of Redis per round, ms | ratio | aim |", "|---|---|---|---|"]
    lines.append(f"| one server | {sum(single):,.1f} | | |")
    lines.append(f"| three primaries together | {total:,.1f} | **{total / sum(single):.2f}** of one server | ≤ 1.25 |")
    lines.append(
        f"| the busiest of them | {max(cluster):,.1f} | **{max(cluster) / total:.2f}** of the three | ≤ 0.45 |"
    )
    lines.append(f"| floor: the same script calls on three unrelated servers | | {floor:.2f} of one server | |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="python -m bench cluster")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(report(*measure(rounds), measure_floor(rounds)))
