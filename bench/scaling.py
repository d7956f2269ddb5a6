"""How cost grows with connections and with web processes: `python -m bench scaling`. docs/scaling.md builds on it."""

import argparse
import time

from bench.fanout import EVENT_BYTES, Run, message_for, publish
from bench.fanout_servers import SERVER_CORE, Process, Valkey, command_of, install_peers

CONNECTIONS = (1_000, 2_500, 5_000, 10_000)
PROCESSES = (1, 2, 4)
MEMBERS = 1_000
"""Connections in the room over all processes."""
EVENTS, RATE = 50, 10
QUIET_SECONDS = 5.0


def connections(valkey, count):
    """The cost of `count` connections in one room for one process: idle, and with one event a second."""
    run = Run("ours", valkey, count)
    try:
        figures = run.connect()
        before = run.server.cpu_seconds()
        time.sleep(QUIET_SECONDS)
        figures["quiet_ms"] = (run.server.cpu_seconds() - before) / QUIET_SECONDS * 1e3
        figures["total_mb"] = run.server.memory_bytes() / 2**20
        return figures | run.steady(1, 5)
    finally:
        run.stop()


def processes(valkey, count):
    """The CPU time of an event whose room has members on `count` processes, and of a process without members."""
    runs = [Run("ours", valkey, MEMBERS // count) for _ in range(count)]
    bystander = Process(command_of("ours", valkey), SERVER_CORE)
    try:
        bystander.first_line()
        for run in runs:
            run.connect()
        time.sleep(1)
        before, aside = [run.server.cpu_seconds() for run in runs], bystander.cpu_seconds()
        for number in range(1, EVENTS + 1):
            publish(valkey.client, *message_for("ours", number))
            time.sleep(1 / RATE)
        time.sleep(0.5)
        used = sum(run.server.cpu_seconds() - was for run, was in zip(runs, before, strict=True))
        return {"us": used / EVENTS * 1e6, "bystander_us": (bystander.cpu_seconds() - aside) / EVENTS * 1e6}
    finally:
        for each in [*runs, bystander]:
            each.stop()


def main():
    parser = argparse.ArgumentParser(prog="python -m bench scaling")
    parser.add_argument("--most", type=int, default=max(CONNECTIONS), help="no more connections than that")
    options = parser.parse_args()
    install_peers()
    valkey = Valkey()
    try:
        print(f"### Connections of one process, all in one room, an event of {EVENT_BYTES} bytes a second\n")
        print("| connections | KB each | process, MB | made, µs each | at rest, ms a second | delivery, µs | p99, ms |")
        print("|---|---|---|---|---|---|---|")
        for count in (each for each in CONNECTIONS if each <= options.most):
            found = connections(valkey, count)
            print(
                f"| {count:,} | {found['memory_kb']:.1f} | {found['total_mb']:.0f} | {found['connect_us']:.0f} "
                f"| {found['quiet_ms']:.1f} | {found['us']:.1f} | {found['p99']:.0f} |",
                flush=True,
            )
        print(f"\n### One room of {MEMBERS} members on several processes\n")
        print("| processes | all of them, µs an event | a process without members, µs an event |\n|---|---|---|")
        for count in PROCESSES:
            found = processes(valkey, count)
            print(f"| {count} | {found['us']:,.0f} | {found['bystander_us']:.0f} |", flush=True)
    finally:
        valkey.stop()
