"""The latency from POST to client: `python -m bench latency`, on `dashboard up`, with the official JavaScript client.

Client and caller run on this machine, so one clock measures the latency, which includes the incoming HTTP request.
"""

import argparse
import os
import random
import tempfile
import time
from pathlib import Path

from tests.factories import deposit, make_agent, make_protocol
from tests.support.js_client import JsClient
from tests.support.stack import Stack

AGENTS = 8


def deposits(api, socket, protocol_id, count):
    """Ages in milliseconds; slow enough for the room's budget."""
    ages = []
    for number in range(count):
        began = time.time()
        deposit(api, protocol_id, "1.00", reference=f"n{number}")
        event = socket.wait_for_event("bounty_pool:updated", reference=f"n{number}")
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


def row(name, ages):
    ages = sorted(ages)
    last = ages[int(len(ages) * 0.99)]
    return f"| {name} | {len(ages)} | {ages[len(ages) // 2]:,.1f} | {last:,.1f} | {ages[-1]:,.1f} |"


def main():
    parser = argparse.ArgumentParser(prog="python -m bench latency")
    parser.add_argument("--deposits", type=int, default=100)
    parser.add_argument("--reports", type=int, default=25)
    options = parser.parse_args()
    js = JsClient()
    with tempfile.TemporaryDirectory(prefix="dashboard-bench-") as folder, Stack(Path(folder) / "stack") as stack:
        api = stack.api
        protocol_id = make_protocol(api)
        socket = stack.watch(js, protocol_id)
        deposits(api, socket, protocol_id, 10)
        socket.received.clear()
        load = os.getloadavg()[0]
        rows = [row("deposit", deposits(api, socket, protocol_id, options.deposits))]
        rows.append(row("progress report", progress(api, socket, protocol_id, options.reports)))
        js.close()
    print(f"### From the POST to the browser's client, load average {load:.1f} on {os.cpu_count()} cores\n")
    print("| | events | p50, ms | p99, ms | longest, ms |\n|---|---|---|---|---|\n" + "\n".join(rows))
