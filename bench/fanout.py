"""The cost of delivering an event to the clients of a room, compared with peers: `python -m bench fanout`."""

import argparse
import json
import statistics
import sys
import threading
import time

import msgspec

from app.realtime.redis_keys import channel_of
from bench.fanout_report import COLUMNS, MANY_COLUMNS, ratios, table
from bench.fanout_servers import SERVER_CORE, Load, Process, Valkey, command_of, install_peers

PEERS = ["ours", "node", "uws", "stock", "floor"]
EVENT = "agent:task_update"
EVENT_BYTES = 350
MILLISECONDS = 1795379400123  # since 1970
CLIENTS = 1000
MANY_CLIENTS = 5000
BURST = 200
SECONDS = 3.0
SATURATED = {"stock": 10}
"""The highest rate that a peer can follow at 1,000 clients."""
COMPRESSES = {"stock"}
"""Accepts compression where it is offered, as browsers do; it is not, which is in the peer's favour."""


def payload(number):
    """An event of EVENT_BYTES on the wire, whatever its number and time."""
    event = {
        "eventType": EVENT,
        "timestamp": "2026-11-22T20:30:00.123Z",
        "protocolId": "bench",
        "seq": f"{number:08d}",
        "data": {"at": f"{time.monotonic_ns():020d}", "agentId": "agent-0001", "task": ""},
    }
    size = len(json.dumps([EVENT, event], separators=(",", ":"))) + 2
    event["data"]["task"] = "x" * (EVENT_BYTES - size)
    return event


def message_for(peer, number):
    """The channel and the body that make this peer send the event to its room."""
    event = payload(number)
    if peer in ("node", "uws"):
        packet = {"type": 2, "data": [EVENT, event], "nsp": "/"}
        options = {"rooms": ["bench"], "except": [], "flags": {}}
        return "socket.io#/#bench#", msgspec.msgpack.encode(["bench", packet, options])
    text = json.dumps(event, separators=(",", ":"))
    if peer == "floor":
        return "floor", f'["{EVENT}",{text}]'.encode()
    if peer == "ours":
        data = json.dumps(event["data"], separators=(",", ":"))
        return channel_of("bench"), f"{EVENT} {event['seq']} {MILLISECONDS} {data}".encode()
    body = {"method": "emit", "event": EVENT, "data": [event], "namespace": "/", "room": "bench"}
    more = {"skip_sid": None, "callback": None, "host_id": "bench"}
    return "flask-socketio", json.dumps(body | more, separators=(",", ":")).encode()


def publish(client, channel, body):
    """Ours are sharded channels."""
    client.execute_command("SPUBLISH" if channel == channel_of("bench") else "PUBLISH", channel, body)


class Run:
    """One peer with its clients."""

    def __init__(self, peer, valkey, clients):
        self.peer, self.valkey, self.clients = peer, valkey, clients
        self.server = self.start_server()
        self.load = Load()
        self.numbers = 0
        self.port = int(self.server.first_line())

    def start_server(self):
        return Process(command_of(self.peer, self.valkey), SERVER_CORE)

    def connect_options(self):
        return {"offer": self.peer not in COMPRESSES}

    def connect(self):
        """CPU time and memory per connection, after a hundred that load what is loaded once."""
        warm = 100
        options = self.connect_options()
        self.load.ask("connect", port=self.port, count=warm, **options)
        time.sleep(0.3)
        cpu, memory = self.server.cpu_seconds(), self.server.memory_bytes()
        self.load.ask("connect", port=self.port, count=self.clients - warm, **options)
        time.sleep(0.7)
        opened = self.clients - warm
        return {
            "connect_us": (self.server.cpu_seconds() - cpu) / opened * 1e6,
            "memory_kb": (self.server.memory_bytes() - memory) / opened / 1024,
        }

    def steady(self, rate, seconds=SECONDS):
        """CPU time per delivery and the ages of events, at `rate` events a second."""
        events = int(rate * seconds)
        cpu = self.server.cpu_seconds()
        self.load.send("receive", events=events, seconds=seconds + 10)
        publisher = threading.Thread(target=self._publish_paced, args=(events, rate))
        publisher.start()
        got = self.load.answer()
        publisher.join()
        used = self.server.cpu_seconds() - cpu
        return {
            "us": used / max(got["received"], 1) * 1e6,
            "p50": got["ages"].get("p50"),
            "p99": got["ages"].get("p99"),
            "lost": got["expected"] - got["received"],
            "load_busy": got["busy"],
        }

    def burst(self, events):
        """Deliveries a second when all events are published at once."""
        bodies = [message_for(self.peer, self._next()) for _ in range(events)]
        self.load.send("receive", events=events, seconds=30)
        cpu, began = self.server.cpu_seconds(), time.monotonic_ns()
        with self.valkey.client.pipeline(transaction=False) as pipe:
            for channel, body in bodies:
                publish(pipe, channel, body)
            pipe.execute()
        got = self.load.answer()
        used = self.server.cpu_seconds() - cpu
        return {
            "per_second": got["received"] / ((got["last"] - began) / 1e9),
            "us": used / max(got["received"], 1) * 1e6,
            "lost": got["expected"] - got["received"],
            "load_busy": got["busy"],
        }

    def _publish_paced(self, events, rate):
        began = time.monotonic()
        for number in range(events):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            publish(self.valkey.client, *message_for(self.peer, self._next()))

    def _next(self):
        self.numbers += 1
        return self.numbers

    def stop(self):
        self.load.stop()
        self.server.stop()


def measure(peer, valkey):
    run = Run(peer, valkey, CLIENTS)
    try:
        figures = run.connect()
        run.steady(10, 1)
        most = SATURATED.get(peer, 40)
        for rate in (10, 40):
            if rate <= most:
                figures |= {f"{key}@{rate}": value for key, value in run.steady(rate).items()}
        size = BURST if most == 40 else BURST // 10
        figures |= {f"{key}@burst": value for key, value in run.burst(size).items()}
    finally:
        run.stop()
    return figures


def measure_many(peer, valkey):
    run = Run(peer, valkey, MANY_CLIENTS)
    try:
        figures = run.connect()
        run.steady(5, 1)
        figures |= {f"{key}@5": value for key, value in run.steady(5).items()}
    finally:
        run.stop()
    return figures


def printed(peer, figures):
    """Print the figures of one run at once, so that an interrupted benchmark loses nothing; returns them."""
    short = {key: round(value, 2) for key, value in figures.items() if value is not None}
    print(peer, json.dumps(short), file=sys.stderr, flush=True)
    return figures


def medians(rounds):
    keys = rounds[0].keys()
    return {key: statistics.median([each[key] for each in rounds if each[key] is not None]) for key in keys}


def main():
    parser = argparse.ArgumentParser(prog="python -m bench fanout")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", action="store_true", help="also 5,000 clients, with ours, node and the floor")
    options = parser.parse_args()
    peers = options.peers.split(",")
    install_peers()
    valkey = Valkey()
    try:
        rounds = [{peer: printed(peer, measure(peer, valkey)) for peer in peers} for _ in range(options.rounds)]
        results = {peer: medians([each[peer] for each in rounds]) for peer in peers}
        print(f"### {CLIENTS:,} clients in a room, {EVENT_BYTES} bytes, median of {options.rounds}\n")
        print(table(results, COLUMNS))
        print("\n" + ratios(results) if "ours" in results else "")
        if options.many:
            many = {peer: printed(peer, measure_many(peer, valkey)) for peer in peers if peer != "stock"}
            print(f"\n### {MANY_CLIENTS:,} clients in a room, one round\n\n{table(many, MANY_COLUMNS)}")
    finally:
        valkey.stop()
