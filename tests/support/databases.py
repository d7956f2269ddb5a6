"""A migrated database per test, copied from a template that is migrated once."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.background import create_background_app
from app.config import load_config
from app.core.extensions import db
from app.core.migration import upgrade
from tests.support.servers import Postgres

TEMPLATE = "dashboard_template"
CATALOGUES = ("pg_class", "pg_constraint", "pg_default_acl", "pg_namespace", "pg_proc", "pg_trigger")
FIRST_OWN = 16384  # the least oid that is not PostgreSQL's own: to read its own rows too takes four times as long
_STATE = ", ".join(
    f"(SELECT (count(*), max(xmin::text::bigint))::text FROM {name} WHERE {oid} >= {FIRST_OWN})"
    for name, oid in (("pg_attribute", "attrelid"), *((name, "oid") for name in CATALOGUES))
)
STATE = f"""SELECT (SELECT string_agg(version_num, ',') FROM alembic_version), {_STATE}, (SELECT count(*)
    FROM pg_db_role_setting JOIN pg_database ON oid = setdatabase WHERE datname = current_database())"""
RESTART_SEQUENCES = "SELECT setval(format('%I', sequencename)::regclass, start_value, false) FROM pg_sequences"


def environment(*, home: Path, database_url: str, redis_url: str, signing_key: str, **more: str) -> dict[str, str]:
    """The settings of a system under test, as environment variables."""
    return {
        "DASHBOARD_HOME": str(home),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "DASHBOARD_SIGNING_KEY": signing_key,
        **more,
    }


def migrate(database_url: str, home: Path) -> None:
    """Bring an empty database to the newest schema, as `dashboard migrate` does."""
    settings = environment(
        home=home,
        database_url=database_url,
        redis_url="redis://127.0.0.1:1/0",
        signing_key=secrets.token_hex(32),
    )
    app = create_background_app(load_config(settings))
    with app.app_context():
        upgrade()
        db.engine.dispose()


def sqlite_template(folder: Path) -> Path:
    path = folder / "template.db"
    migrate(f"sqlite:///{path}", folder)
    return path


def postgres_template(server: Postgres, folder: Path) -> str:
    migrate(server.create(TEMPLATE), folder)
    return TEMPLATE


def copy_sqlite(template: Path, folder: Path) -> str:
    target = folder / "dashboard.db"
    for suffix in ("", "-wal"):
        if Path(f"{template}{suffix}").exists():
            shutil.copyfile(f"{template}{suffix}", f"{target}{suffix}")
    return f"sqlite:///{target}"


@contextmanager
def copy_postgres(server: Postgres, template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    url = server.create(name, template)
    try:
        yield url
    finally:
        server.drop(name)


class SparePostgres:
    """Lends migrated databases that earlier tests used and that are empty again.

    To copy and drop one takes ten times as long as to empty it (0.37 s of processor time). Each test sees a new name,
    so that nothing that an earlier test left running can reach it. A database whose schema, settings or revision a test
    changed is dropped.
    """

    def __init__(self, server: Postgres, template: str) -> None:
        self._server, self._template = server, template
        self._spare: list[str] = []
        with self._connect(template) as connection:
            self._state = connection.execute(STATE).fetchone()
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            self._tables = [name for (name,) in tables if name != "alembic_version"]

    @contextmanager
    def lend(self) -> Iterator[str]:
        name = f"test_{secrets.token_hex(6)}"
        if self._spare:
            self._server.run(f'ALTER DATABASE "{self._spare.pop()}" RENAME TO "{name}"')
        else:
            self._server.create(name, self._template)
        try:
            yield self._server.url(name)
        finally:
            self._take_back(name)

    def _take_back(self, name: str) -> None:
        spare = f"spare_{name}"
        try:
            self._server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            self._server.run(f'ALTER DATABASE "{name}" RENAME TO "{spare}"')
            with self._connect(spare) as connection:
                if is_clean := connection.execute(STATE).fetchone() == self._state:
                    self._empty(connection)
        except psycopg.Error:  # such as a database that takes no connections any more
            is_clean = False
        if is_clean:
            self._spare.append(spare)
        else:
            self._server.drop(name)
            self._server.drop(spare)

    def _empty(self, connection: "psycopg.Connection[Any]") -> None:
        connection.execute("SET session_replication_role = replica")  # without triggers
        connection.execute("; ".join(f'DELETE FROM "{table}"' for table in self._tables))
        connection.execute(RESTART_SEQUENCES)

    def _connect(self, name: str) -> "psycopg.Connection[Any]":
        return psycopg.connect(self._server.url(name).replace("+psycopg", ""), autocommit=True)


def unguard_ledger(session: Session) -> None:
    """Drop the triggers that make ledger entries append-only, as a database administrator could."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("ALTER TABLE bounty_entries DISABLE TRIGGER bounty_entries_append_only"))
        return
    for verb in ("update", "delete"):
        session.execute(text(f"DROP TRIGGER bounty_entries_no_{verb}"))
