"""The servers of the ingest, database and state benchmarks, pinned to one core; peers installed once, pinned."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from app.realtime import redis_keys, scripts
from bench.fanout_servers import MODULES, PEERS, SERVER_CORE, Process
from tests.support import databases
from tests.support.api import Api, OverHttp
from tests.support.processes import free_port, is_open

WEB_MODULES = MODULES / "web"
PYTHON_PEERS = MODULES / "venv"
NPM_PACKAGES = [
    "fastify@5.12.8",
    "express@5.3.0",
    "ioredis@6.0.0",
    "jsonwebtoken@9.0.3",
    "ajv@8.20.0",
    "ajv-formats@3.0.1",
    "notepack.io@3.0.1",
]
PIP_PACKAGES = [
    "fastapi==0.165.0",
    "uvicorn[standard]==0.54.0",
    "redis[hiredis]==8.1.0",
    "PyJWT==2.10.1",
    "msgpack==1.2.4",
    "sqlalchemy==2.1.9",
    "psycopg[binary]==3.3.9",
]
KEY = secrets.token_hex(32)
PROTOCOL = "bench"
UNLIMITED = {"DASHBOARD_REST_PER_TOKEN": "1000000", "DASHBOARD_REST_PER_ADDRESS": "1000000"}


def install_peers():
    """Fetch the peers once into a folder that git ignores; none of them is a dependency of the project."""
    if not (WEB_MODULES / "node_modules" / "notepack.io").exists():
        WEB_MODULES.mkdir(parents=True, exist_ok=True)
        (WEB_MODULES / "package.json").write_text('{"private": true}\n')
        flags = ["--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(["npm", "install", *flags, *NPM_PACKAGES], cwd=WEB_MODULES, check=True, timeout=240)
    installed, wanted = PYTHON_PEERS / "installed", "\n".join(PIP_PACKAGES)
    if not installed.exists() or installed.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", PYTHON_PEERS], check=True)
        pip = [PYTHON_PEERS / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PIP_PACKAGES], check=True, timeout=240)
        installed.write_text(wanted)


class Web(Process):
    """`dashboard web` with a migrated database and the given Redis; `api` makes callers of every role."""

    def __init__(self, redis_url, database_url=None, core=SERVER_CORE):
        self.folder = Path(tempfile.mkdtemp(prefix="dashboard-bench-"))
        self.port = free_port()
        database_url = database_url or f"sqlite:///{self.folder}/bench.db"
        databases.migrate(database_url, self.folder)
        settings = databases.environment(
            home=self.folder, database_url=database_url, redis_url=redis_url, signing_key=KEY, **UNLIMITED
        )
        words = [f"{name}={value}" for name, value in settings.items()]
        serve = f'exec "$@" >{self.folder}/web.log 2>&1'
        web = [sys.executable, "-m", "app.cli", "web", "--port", self.port]
        super().__init__(["env", *words, "sh", "-c", serve, "sh", *web], core)
        for _ in range(600):
            if is_open(self.port):
                break
            if self.popen.poll() is not None:
                raise RuntimeError((self.folder / "web.log").read_text())
            time.sleep(0.1)
        self.api = Api(OverHttp(f"http://127.0.0.1:{self.port}"), KEY)


def peer(name, redis_port):
    """A peer's process; `port` is where it listens. The room's agents are there already: ours has reported for them."""
    script = MODULES / "report.lua"
    script.write_text(scripts.source("report"), encoding="utf-8")
    commands = {
        "bare": [sys.executable, PEERS / "bare.py"],
        "fastapi": [PYTHON_PEERS / "bin" / "python", PEERS / "fastapi_ingest.py"],
        "express": ["node", PEERS / "express_fastify_ingest.cjs", WEB_MODULES, "express"],
        "fastify": ["node", PEERS / "express_fastify_ingest.cjs", WEB_MODULES, "fastify"],
    }
    keys = json.dumps(redis_keys.report_keys(PROTOCOL))
    process = Process([*commands[name], redis_port, script, KEY, keys], SERVER_CORE)
    process.port = int(process.first_line())
    return process


def pin(core):
    os.sched_setaffinity(0, {core})


def own_cpu():
    """CPU seconds of the calling thread, in the scheduler's nanoseconds."""
    return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[0]) / 1e9
