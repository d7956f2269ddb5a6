"""The latency from POST to client: `python -m bench latency`, on `dashboard up`, with the official JavaScript client.

Client and caller run on this machine, so one clock measures the latency, which includes the incoming HTTP request.
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.core.values import moment_of
from bench.fanout_servers import Load
from bench.ingest_load import Connections, post
from bench.ingest_servers import UNLIMITED
from tests.factories import deposit, make_agent, make_protocol
from tests.support.api import Api, OverHttp
from tests.support.event_checks import most_in_a_window
from tests.support.js_client import JsClient
from tests.support.stack import Stack

AGENTS = 8
BURST = 30
PER_ROOM = 8  # deposits a second
SETTLE_SECONDS = 2
CLIENTS = 1_000
DEPOSIT_NUMBERS = itertools.count()
CROWD_RATE = 20  # deposits a second while they connect


def deposits(api, socket, protocol_id, count):
    """Ages in milliseconds; slow enough for the room's budget."""
    ages = []
    for _ in range(count):
        began, reference = time.time(), f"n{next(DEPOSIT_NUMBERS)}"
        deposit(api, protocol_id, "1.00", reference=reference)
        event = socket.wait_for_event("bounty_pool:updated", reference=reference)
        ages.append((event.at - began) * 1000)
        time.sleep(max(0.0, 0.15 - (time.time() - began)))
    return ages


def progress(api, socket, protocol_id, count):
    """Ages of reports at moments that are spread over the second of the tick."""
    agents = [make_agent(api) for _ in range(AGENTS)]
    ages, began, moments = [], {}, random.Random(1)
    for number in range(count):
        agent = agents[number % AGENTS]
        began[number] = time.time()
        body = {"protocolId": protocol_id, "task": f"n{number}", "progress": 10}
        api.admin.post(f"/agents/{agent}/progress", body).expect(202)
        event = socket.wait_for_event("agent:task_update", task=f"n{number}")
        ages.append((event.at - began[number]) * 1000)
        time.sleep(moments.random())
    return ages


def steady(stack, js, per_second, seconds):
    """Ages, in milliseconds, of the events of `per_second` deposits a second over rooms with one client each.

    An entry's `createdAt` is a few statements before the commit. No room is beyond its budget.
    """
    pools = [make_protocol(stack.api) for _ in range(max(1, per_second // PER_ROOM))]
    sockets = [stack.watch(js, pool) for pool in pools]
    token, count = stack.api.token("admin"), per_second * seconds
    client = Connections(stack.port, 32)

    def requests(count, name):
        for number, pool in zip(range(count), itertools.cycle(pools), strict=False):
            body = json.dumps({"amount": "1.00", "reference": f"{name}-{number}"}).encode()
            yield post(f"/api/v1/protocols/{pool}/deposits", token, body)

    client.send_paced(requests(per_second, "warm"), per_second)
    time.sleep(SETTLE_SECONDS)
    late = client.send_paced(requests(count, "steady"), per_second)
    time.sleep(SETTLE_SECONDS)
    client.close()
    if late > 1:
        print(f"the system did not keep up: the last request was {late:.1f} s late", file=sys.stderr)
    at = {event.data["reference"]: event.at for socket in sockets for event in socket.events("bounty_pool:updated")}
    created = {entry["reference"]: entry["createdAt"] for pool in pools for entry in entries(stack.api, pool)}
    names = [f"steady-{number}" for number in range(count)]
    missing = [name for name in names if name not in at]
    if missing:
        print(f"{len(missing)} of {count} events did not arrive", file=sys.stderr)
    return [(at[name] - moment_of(created[name]).timestamp()) * 1000 for name in names if name in at]


def entries(api, pool):
    """All entries of a pool's ledger."""
    cursor = ""
    while cursor is not None:
        page = api.admin.get(f"/protocols/{pool}/pool/entries?limit=200&cursor={cursor}").expect(200)
        yield from page["items"]
        cursor = page["nextCursor"]


def burst(api, socket, protocol_id):
    """Thirty deposits at once: seconds until the last event arrives, and the most events within a second."""
    with ThreadPoolExecutor(BURST) as callers:
        apis = [(Api(OverHttp(api.transport.url), api.signing_key), f"burst-{number}") for number in range(BURST)]
        began = time.time()
        list(callers.map(lambda each: deposit(each[0], protocol_id, "1.00", reference=each[1]), apis))
    names = {reference for _, reference in apis}

    def times():
        events = socket.events("bounty_pool:updated")
        found = [event.at for event in events if event.data.get("reference") in names]
        return found if len(found) == BURST else None

    arrived = socket.client.wait(times, 10, "all events of the burst arrive")
    return arrived[-1] - began, most_in_a_window(arrived)


@contextlib.contextmanager
def reconnecting(stack, protocol_id):
    """Connect a thousand clients and close them, again and again; yields the seconds that each time took."""
    tokens = [stack.api.token("viewer", protocols=[protocol_id], sub=f"client-{n}") for n in range(CLIENTS)]
    load, times, has_ended = Load(), [], threading.Event()

    def reconnect():
        while not has_ended.is_set():
            began = time.monotonic()
            load.ask("connect", port=stack.port, count=CLIENTS, tokens=tokens)
            times.append(time.monotonic() - began)
            load.ask("close")

    thread = threading.Thread(target=reconnect)
    thread.start()
    try:
        yield times
    finally:
        has_ended.set()
        thread.join()
        load.stop()


def row(name, ages):
    ages = sorted(ages)
    tails = [ages[min(len(ages) - 1, int(len(ages) * share))] for share in (0.5, 0.95, 0.99, 0.999)]
    return f"| {name} | {len(ages)} | " + " | ".join(f"{age:,.1f}" for age in [*tails, ages[-1]]) + " |"


def measure(stack, js, name, options):
    """The rows of the table, and a line about a burst."""
    protocol_id = make_protocol(stack.api, id="bench")  # the room of the load's clients
    socket = stack.watch(js, protocol_id)
    deposits(stack.api, socket, protocol_id, 10)
    socket.received.clear()
    rows = [row(f"deposit, {name}", deposits(stack.api, socket, protocol_id, options.deposits))]
    with reconnecting(stack, protocol_id) as times:
        ages = deposits(stack.api, socket, protocol_id, options.deposits)
        beside = steady(stack, js, CROWD_RATE, options.seconds)
    per_second = CLIENTS / (sum(times) / len(times))
    connecting = f"{per_second:,.0f} clients connecting a second, {name}"
    rows.append(row(f"deposit, {connecting}", ages))
    rows.append(row(f"{CROWD_RATE} deposits a second, from the commit, {connecting}", beside))
    rows.append(row(f"progress report, {name}", progress(stack.api, socket, protocol_id, options.reports)))
    ages = steady(stack, js, options.rate, options.seconds)
    rows.append(row(f"{options.rate} deposits a second, from the commit, {name}", ages))
    seconds, most = burst(stack.api, socket, protocol_id)
    return rows, f"{BURST} deposits at once, {name}: {seconds:.2f} s, at most {most} events within a second"


def main():
    parser = argparse.ArgumentParser(prog="python -m bench latency")
    parser.add_argument("--deposits", type=int, default=100)
    parser.add_argument("--reports", type=int, default=25)
    parser.add_argument("--seconds", type=int, default=10, help="of the steady load of deposits")
    parser.add_argument("--rate", type=int, default=200, help="deposits a second of the steady load")
    options = parser.parse_args()
    js, rows, bursts, load = JsClient(), [], [], os.getloadavg()[0]
    for webs in (1, 2):
        with (
            tempfile.TemporaryDirectory(prefix="dashboard-bench-") as folder,
            Stack(Path(folder) / "stack", webs=webs, **UNLIMITED) as stack,
        ):
            more, line = measure(stack, js, f"`--web {webs}`", options)
            rows += more
            bursts.append(line)
    js.close()
    print(f"### From the POST to the official client, load average {load:.1f} on {os.cpu_count()} cores\n")
    print("| | events | p50, ms | p95, ms | p99, ms | p99.9, ms | longest, ms |\n" + "|---" * 7 + "|")
    print("\n".join(rows) + "\n\n" + "\n".join(bursts))
