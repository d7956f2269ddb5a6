"""The cost of accepting a progress report, compared with peers: `python -m bench ingest`."""

import argparse
import json
import statistics
import sys

from bench.fanout_servers import LOAD_CORE, Valkey
from bench.ingest_load import Connections, post
from bench.ingest_servers import PROTOCOL, Web, install_peers, own_cpu, peer, pin
from tests.factories import make_agent, make_protocol

PEERS = ["ours", "bare", "fastapi", "express", "fastify"]
WITHOUT_BATCHES = {"bare", "fastapi"}
AGENTS = 200
REQUESTS = 400
BATCH = 100
BATCHES = 40
CONNECTIONS = 64
WARM_UP = 2000
COLUMNS = [
    ("us@1", "CPU per POST, 1 connection, µs"),
    ("us@64", "CPU per POST, 64 connections, µs"),
    ("redis_us@64", "Redis's CPU per POST, µs"),
    ("per_second@64", "POSTs a second, 64 connections"),
    ("p50@1", "p50, 1 connection, ms"),
    ("p99@1", "p99, 1 connection, ms"),
    ("load_busy@64", "load client's share of its core"),
]
RATIOS = ("us@1", "us@64", "us_per_update")
BATCH_COLUMNS = [
    ("us_per_update", "batch of 100, web process, CPU per update, µs"),
    ("all_us_per_update", "batch of 100, web process and Redis, CPU per update, µs"),
]


def report(number):
    body = {"protocolId": PROTOCOL, "task": "Scan Vault.sol", "progress": number % 101}
    return body | {"estimatedCompletion": "2026-11-23T10:00:00Z"}


def singles(token, count, agents=AGENTS):
    for number in range(count):
        path = f"/api/v1/agents/agent-{number % agents}/progress"
        yield post(path, token, json.dumps(report(number)).encode())


def batches(token, count):
    for number in range(count):
        first = number * BATCH
        updates = [report(n) | {"agentId": f"agent-{n % AGENTS}"} for n in range(first, first + BATCH)]
        yield post("/api/v1/progress", token, json.dumps({"updates": updates}).encode())


def start(name, valkey):
    """The server and a valid token."""
    if name != "ours":
        server = peer(name, valkey.port)
        return server, valkey.token
    server = Web(valkey.url)
    make_protocol(server.api, id=PROTOCOL)
    for number in range(AGENTS):
        make_agent(server.api, id=f"agent-{number}")
    valkey.token = server.api.token("admin")
    return server, valkey.token


def measured(server, valkey, connections, requests):
    """The CPU time of server and Redis for these requests."""
    requests = list(requests)
    client = Connections(server.port, connections)
    try:
        before, redis_before, own = server.cpu_seconds(), valkey.cpu_seconds(), own_cpu()
        ages, seconds = client.send_all(requests)
        cpu, redis = server.cpu_seconds() - before, valkey.cpu_seconds() - redis_before
        busy = (own_cpu() - own) / seconds
    finally:
        client.close()
    count = len(requests)
    return {
        "us": cpu / count * 1e6,
        "redis_us": redis / count * 1e6,
        "per_second": count / seconds,
        "p50": ages[count // 2],
        "p99": ages[int(count * 0.99)],
        "load_busy": busy,
    }


def one_round(server, valkey, token, name):
    figures = {}
    for connections in (1, CONNECTIONS):
        found = measured(server, valkey, connections, singles(token, REQUESTS))
        figures |= {f"{key}@{connections}": value for key, value in found.items()}
    if name not in WITHOUT_BATCHES:
        found = measured(server, valkey, 1, batches(token, BATCHES))
        figures["us_per_update"] = found["us"] / BATCH
        figures["all_us_per_update"] = (found["us"] + found["redis_us"]) / BATCH
    return figures


def medians(rounds):
    return {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}


def table(results, columns):
    names = list(results)
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for key, title in columns:
        cells = [f"{results[name][key]:,.2f}" if key in results[name] else "–" for name in names]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ratios(results):
    ours = results["ours"]
    others = [name for name in results if name != "ours"]
    return "\n".join(
        f"ours / {name}: "
        + ", ".join(f"{key} {ours[key] / results[name][key]:.2f}" for key in RATIOS if key in results[name])
        for name in others
    )


def run(names, rounds):
    """Measure all servers in each round; they keep running."""
    valkey, servers = Valkey(), {}
    try:
        for name in names:
            servers[name] = start(name, valkey)
            server, token = servers[name]
            measured(server, valkey, 4, singles(token, WARM_UP))
            if name not in WITHOUT_BATCHES:
                measured(server, valkey, 4, batches(token, WARM_UP // 4))
        pin(LOAD_CORE)
        kept = {name: [] for name in names}
        for _ in range(rounds):
            for name, (server, token) in servers.items():
                kept[name].append(one_round(server, valkey, token, name))
                short = {key: round(value, 2) for key, value in kept[name][-1].items()}
                print(name, json.dumps(short), file=sys.stderr, flush=True)
    finally:
        for server, _ in servers.values():
            server.stop()
        valkey.stop()
    return {name: medians(found) for name, found in kept.items()}


def main():
    parser = argparse.ArgumentParser(prog="python -m bench ingest")
    parser.add_argument("--peers", default=",".join(PEERS), help="`ours` comes first: it makes the token")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    install_peers()
    results = run(options.peers.split(","), options.rounds)
    print(f"### One progress report, median of {options.rounds} alternating rounds\n")
    print(table(results, COLUMNS + BATCH_COLUMNS) + "\n\n" + ratios(results))
