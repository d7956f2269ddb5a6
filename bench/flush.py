"""The cost of a flush in the worker and in Redis: `python -m bench flush`.

A flush is what beat's tick makes a worker do: `pipeline.drain()`, here without Celery around it.
"""

import argparse
import json
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path

from app.config import load_config
from app.factory import create_app
from app.realtime import emitter, limiter
from bench.fanout_servers import LOAD_CORE, SERVER_CORE, Process, Valkey
from bench.ingest_servers import KEY, own_cpu, pin
from tests.support.databases import environment
from tests.support.redis_clock import age_memory

CASES = [(1_000, 100), (10_000, 1_000), (100_000, 10_000), (10_000, 1), (10_000, 100), (10_000, 10_000)]
"""Numbers of waiting agents and of rooms; each room emits ten of them."""
IDLE_ROOMS = 10_000
IDLE_FLUSHES = 200
OFFERS_PER_CALL = 500
DATA = '{"agentId":"agent-%d","task":"Scan Vault.sol","progress":"%d","status":"RUNNING",'
DATA += '"estimatedCompletion":"2026-11-23T10:00:00.000Z","error":null,"nextTask":null'


def fill(agents, rooms, progress):
    """Let this many agents wait."""
    for first in range(0, agents, OFFERS_PER_CALL):
        numbers = range(first, min(first + OFFERS_PER_CALL, agents))
        names = [(f"agent-{number}", f"room-{number % rooms}", DATA % (number, progress)) for number in numbers]
        limiter.report([limiter.RunningReport(agent, room, "Scan Vault.sol", data) for agent, room, data in names])


def flush(valkey):
    """One flush: its CPU time in milliseconds and the number of emitted events."""
    worker, redis = own_cpu(), valkey.cpu_seconds()
    began = time.monotonic()
    outcome = emitter.drain()
    seconds = time.monotonic() - began
    cpu = (own_cpu() - worker) * 1e3, (valkey.cpu_seconds() - redis) * 1e3
    return {"worker_ms": cpu[0], "redis_ms": cpu[1], "seconds": seconds, "events": sum(outcome.emitted.values())}


def measure(valkey, agents, rooms, rounds):
    sink = Process([sys.executable, "bench/flush_sink.py", valkey.port, rooms], LOAD_CORE)
    found = []
    try:
        sink.first_line()
        for number in range(rounds):
            valkey.client.flushall()
            age_memory(valkey.client)
            fill(agents, rooms, number)
            found.append(flush(valkey))
    finally:
        sink.stop()
    middle = {key: statistics.median(each[key] for each in found) for key in found[0]}
    return middle | {"agents": agents, "rooms": rooms}


def idle(valkey, rooms):
    """The CPU time of a flush with nothing to do after this many rooms were busy."""
    valkey.client.flushall()
    if rooms:
        fill(rooms, rooms, 1)
        while emitter.drain().delay_us is not None:
            time.sleep(0.5)
    worker, redis = own_cpu(), valkey.cpu_seconds()
    for _ in range(IDLE_FLUSHES):
        emitter.drain()
    return {
        "rooms": rooms,
        "worker_us": (own_cpu() - worker) / IDLE_FLUSHES * 1e6,
        "redis_us": (valkey.cpu_seconds() - redis) / IDLE_FLUSHES * 1e6,
    }


def report(results, quiet):
    lines = ["| agents waiting | rooms | events that left | worker, ms | Redis, ms | both, ms | µs per event |"]
    lines.append("|---" * 7 + "|")
    for each in results:
        both = each["worker_ms"] + each["redis_ms"]
        cells = [f"{each['agents']:,}", f"{each['rooms']:,}", f"{each['events']:,.0f}"]
        cells += [f"{value:,.1f}" for value in (each["worker_ms"], each["redis_ms"], both)]
        lines.append("| " + " | ".join([*cells, f"{both * 1000 / each['events']:,.1f}"]) + " |")
    lines += ["", "| quiet rooms | worker per flush, µs | Redis per flush, µs |", "|---|---|---|"]
    lines += [f"| {each['rooms']:,} | {each['worker_us']:,.0f} | {each['redis_us']:,.0f} |" for each in quiet]
    return "\n".join(lines)


def make_app(valkey):
    folder = Path(tempfile.mkdtemp(prefix="dashboard-bench-"))
    settings = environment(
        home=folder, database_url=f"sqlite:///{folder}/bench.db", redis_url=valkey.url, signing_key=KEY
    )
    logging.disable(logging.INFO)
    return create_app(load_config(settings))


def main():
    parser = argparse.ArgumentParser(prog="python -m bench flush")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=int, default=100_000, help="skip cases with more agents")
    options = parser.parse_args()
    pin(SERVER_CORE)
    valkey = Valkey()
    try:
        with make_app(valkey).app_context():
            results = []
            for agents, rooms in CASES:
                if agents <= options.most:
                    results.append(measure(valkey, agents, rooms, options.rounds))
                    print(json.dumps(results[-1]), file=sys.stderr, flush=True)
            quiet = [idle(valkey, rooms) for rooms in (0, IDLE_ROOMS)]
    finally:
        valkey.stop()
    print(f"### Flush, median of {options.rounds} rounds\n\n" + report(results, quiet))
