"""The latency from POST to client: `python -m bench latency`, on `dashboard up`, with the official JavaScript client.

Client and caller run on this machine, so one clock measures the latency, which includes the incoming HTTP request.
Deposits are measured twice: alone, and while clients with tokens of their own reconnect to the same room all the time.
"""

import argparse
import contextlib
import os
import random
import tempfile
import threading
import time
from pathlib import Path

from bench.fanout_servers import Load
from tests.factories import deposit, make_agent, make_protocol
from tests.support.js_client import JsClient
from tests.support.stack import Stack

AGENTS = 8
CLIENTS = 1_000


def deposits(api, socket, protocol_id, count):
    """Ages in milliseconds; slow enough for the room's budget."""
    ages = []
    socket.received.clear()
    for number in range(count):
        began = time.time()
        deposit(api, protocol_id, "1.00", reference=f"n{number}")
        event = socket.wait_for_event("bounty_pool:updated", 20, reference=f"n{number}")
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
    last = ages[int(len(ages) * 0.99)]
    return f"| {name} | {len(ages)} | {ages[len(ages) // 2]:,.1f} | {last:,.1f} | {ages[-1]:,.1f} |"


def main():
    parser = argparse.ArgumentParser(prog="python -m bench latency")
    parser.add_argument("--deposits", type=int, default=100)
    parser.add_argument("--reports", type=int, default=25)
    parser.add_argument("--web", type=int, default=1, help="the number of web processes")
    options = parser.parse_args()
    js = JsClient()
    with (
        tempfile.TemporaryDirectory(prefix="dashboard-bench-") as folder,
        Stack(Path(folder) / "stack", webs=options.web) as stack,
    ):
        api = stack.api
        protocol_id = make_protocol(api, id="bench")  # the room of the load's clients
        socket = stack.watch(js, protocol_id)
        deposits(api, socket, protocol_id, 10)
        load = os.getloadavg()[0]
        rows = [row("deposit", deposits(api, socket, protocol_id, options.deposits))]
        with reconnecting(stack, protocol_id) as times:
            ages = deposits(api, socket, protocol_id, options.deposits)
        rows.append(row(f"deposit, {CLIENTS / (sum(times) / len(times)):,.0f} clients connecting a second", ages))
        rows.append(row("progress report", progress(api, socket, protocol_id, options.reports)))
        js.close()
    print(f"### From the POST to the browser's client, load average {load:.1f} on {os.cpu_count()} cores\n")
    print("| | events | p50, ms | p99, ms | longest, ms |\n|---|---|---|---|---|\n" + "\n".join(rows))
