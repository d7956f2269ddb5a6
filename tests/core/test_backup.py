"""Backup and restore as described in docs/operating.md: the restored system continues where the old one was."""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

from app.config import load_config
from app.payments.reconciliation import mismatches
from tests.factories import deposit, make_agent, make_protocol, report
from tests.support import databases, servers
from tests.support.api import Api, InProcess
from tests.support.apps import make_app
from tests.support.machine_speed import patience
from tests.support.processes import free_port, start, stop, until

KEY = "0123456789abcdef" * 4


def environment(tmp_path: Path, database_url: str, redis_url: str) -> dict[str, str]:
    return databases.environment(home=tmp_path, database_url=database_url, redis_url=redis_url, signing_key=KEY)


def fill(settings: dict[str, str]) -> str:
    with make_app(load_config(settings)) as app:
        api = Api(InProcess(app), KEY)
        protocol_id = make_protocol(api)
        for amount in ("10.00", "0.000001"):
            deposit(api, protocol_id, amount)
    return protocol_id


def check(settings: dict[str, str], protocol_id: str) -> None:
    """The books are right, and new business is done on them."""
    with make_app(load_config(settings)) as app, app.app_context():
        api = Api(InProcess(app), KEY)
        assert mismatches() == []
        assert api.viewer.get(f"/protocols/{protocol_id}/pool").expect(200)["total"] == "10.000001"
        assert deposit(api, protocol_id, "5.00")["pool"]["total"] == "15.000001"


def test_a_postgresql_dump_restores_into_an_empty_database(
    postgres: servers.Postgres, postgres_url: str, tmp_path: Path, redis_url: str
) -> None:
    settings = environment(tmp_path, postgres_url, redis_url)
    protocol_id = fill(settings)
    plain = postgres_url.replace("postgresql+psycopg://", "postgresql://")
    dump, tools = tmp_path / "dashboard.dump", servers.postgres_binaries()
    pg_dump, pg_restore = tool(tools, "pg_dump"), tool(tools, "pg_restore")

    subprocess.run(
        [pg_dump, "--format=custom", "--no-owner", f"--file={dump}", plain], check=True, timeout=patience(60)
    )
    with databases.copy_postgres(postgres, "template0") as restored:
        target = restored.replace("postgresql+psycopg://", "postgresql://")
        subprocess.run(
            [pg_restore, "--no-owner", "--exit-on-error", f"--dbname={target}", dump], check=True, timeout=patience(60)
        )
        check(settings | {"DATABASE_URL": restored}, protocol_id)


def tool(folder: Path, name: str) -> str:
    """Of the server's own version, where it is there."""
    beside = folder / name
    return str(beside) if beside.exists() else (shutil.which(name) or name)


def test_a_sqlite_file_is_copied_while_it_is_in_use(sqlite_url: str, tmp_path: Path, redis_url: str) -> None:
    settings = environment(tmp_path, sqlite_url, redis_url)
    protocol_id = fill(settings)
    live, copy = sqlite_url.removeprefix("sqlite:///"), tmp_path / "copy.db"

    with sqlite3.connect(live) as source, sqlite3.connect(copy) as target:
        source.execute("PRAGMA wal_checkpoint")
        source.backup(target)

    check(settings | {"DATABASE_URL": f"sqlite:///{copy}"}, protocol_id)


def test_redis_comes_back_from_its_append_only_file(sqlite_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "valkey"
    folder.mkdir()
    server, url = persistent_valkey(folder)
    settings = environment(tmp_path, sqlite_url, url)
    with make_app(load_config(settings)) as app:
        api = Api(InProcess(app), KEY)
        protocol_id, agent_id = make_protocol(api), make_agent(api)
        api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, progress=42)).expect(202)
        before = api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)
    stop(server, seconds=10)
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)

    server, url = persistent_valkey(moved)
    try:
        with make_app(load_config(settings | {"REDIS_URL": url})) as app:
            after = Api(InProcess(app), KEY).viewer.get(f"/protocols/{protocol_id}/state").expect(200)
    finally:
        stop(server, seconds=10)

    assert (after["seq"], after["agents"]) == (before["seq"], before["agents"])


def test_an_empty_redis_beside_the_database_loses_no_money_and_no_order(
    postgres_url: str, tmp_path: Path, redis_url: str
) -> None:
    settings = environment(tmp_path, postgres_url, redis_url)
    protocol_id = fill(settings)
    with make_app(load_config(settings)) as app:
        api = Api(InProcess(app), KEY)
        before = int(api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)["seq"])
        app.extensions["redis"].flushdb()
        after = int(api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)["seq"])

    assert after > before
    check(settings, protocol_id)


def persistent_valkey(folder: Path) -> tuple["subprocess.Popen[bytes]", str]:
    port = free_port()
    argv = [servers.get_binary_path(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    process = start([*argv, "--appendonly", "yes", "--save", ""], log=folder / "valkey.log", env=dict(os.environ))
    server = servers.Valkey(process, port)
    until(lambda: servers._answers(server), 10, "Valkey answers")
    return process, server.url()
