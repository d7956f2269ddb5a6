"""The start of a whole system and what it costs while it idles: `python -m bench start`.

Beside it, the same seven programs without fork servers: each imports the application by itself, and does no more.
`--first` also times the README's `make run` in a fresh clone, which installs packages.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import free_port
from tests.support.stack import NOT_INHERITED

ROOT = Path(__file__).resolve().parents[1]
BACKGROUND = "import app.background, tasks, celery.apps.worker"
WEB = "from app.core import runtime; runtime.patch(); import app.factory, app.sockets.handlers"
ALONE = [WEB, *5 * [BACKGROUND]]  # the migration, three workers and beat
SETTLE_SECONDS = 20


def environment(home):
    inherited = {name: value for name, value in os.environ.items() if not NOT_INHERITED.match(name)}
    return inherited | {"DASHBOARD_HOME": str(home)}


def processes_of(home):
    """The pids of a system's processes, with the part's name where a pid file has it."""
    mark, found = f"DASHBOARD_HOME={home}".encode(), {}
    names = {int(file.read_text()): file.stem for file in (home / "run").glob("*.pid")}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = names.get(int(entry.name), "")
        except OSError:
            continue
    return found


def cpu_of(pid):
    """Nanoseconds of all its threads, living ones only."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())


def shared_memory_of(pid):
    """Its proportional share of memory, in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


@contextmanager
def running(command, home, folder=ROOT):
    """Yields the seconds until the system was ready."""
    began = time.monotonic()
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, env=environment(home), cwd=folder, **pipe) as process:
        try:
            while not (line := process.stdout.readline()).startswith("ready: "):
                assert line, "the system ended before it was ready"
            yield time.monotonic() - began
        finally:
            process.terminate()
            process.wait()


def measure(home, idle_seconds):
    with running([sys.executable, "-m", "app.cli", "up", "--port", str(free_port())], home) as ready_seconds:
        pids = processes_of(home)
        figures = {"ready, s": ready_seconds, "CPU until ready, s": sum(map(cpu_of, pids)) / 1e9}
        figures["memory, MB"] = sum(map(shared_memory_of, pids))
        if idle_seconds:
            time.sleep(SETTLE_SECONDS)
            web = next(pid for pid, name in pids.items() if name == "web-1")
            before = {pid: cpu_of(pid) for pid in pids}
            time.sleep(idle_seconds)
            used = {pid: (cpu_of(pid) - before[pid]) / 1e7 / idle_seconds for pid in pids}
            figures |= {"idle web, % of a core": used[web], "idle system, % of a core": sum(used.values())}
    return figures


def import_alone(programs=ALONE):
    """The CPU seconds of the programs' imports, each in a process of its own."""
    before = os.times()
    for code in programs:
        subprocess.run([sys.executable, "-c", code], env=environment("/nonexistent"), cwd=ROOT, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def first_start():
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        command = ["make", "run", f"PORT={free_port()}"]
        for name in ("first", "second"):
            with running(command, clone / ".dashboard", clone) as seconds:
                print(f"`make run`, {name} start: {seconds:.1f} s", flush=True)
        size = subprocess.run(["du", "-sm", ".venv"], cwd=clone, capture_output=True, text=True, check=True).stdout
        print(f"size of .venv: {size.split()[0]} MB")


def main():
    parser = argparse.ArgumentParser(prog="python -m bench start")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=float, default=60, help="seconds of idling, in the last round")
    parser.add_argument("--first", action="store_true", help="also time `make run` in a fresh clone")
    options = parser.parse_args()
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        with running([sys.executable, "-m", "app.cli", "up", "--port", str(free_port())], home):
            pass  # creates the database
        for number in range(options.rounds):
            idle_seconds = options.idle if number == options.rounds - 1 else 0
            rounds.append(measure(home, idle_seconds) | {"imports alone, s": import_alone()})
    for name in rounds[-1]:
        print(f"{name}: {statistics.median(each[name] for each in rounds if name in each):.2f}")
    print(f"ratio: {statistics.median(each['CPU until ready, s'] / each['imports alone, s'] for each in rounds):.2f}")
    if options.first:
        first_start()
