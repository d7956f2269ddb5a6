"""An outage of database or Redis is reported with its cause; a programming error is not reported as one."""

import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import psycopg.errors
import pytest
from flask import Flask
from redis.connection import DefaultParser
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.config import load_config
from app.core import migration
from app.core.dependency_errors import (
    OUTAGES,
    DatabaseBusy,
    DatabaseFull,
    DatabaseReadOnly,
    DatabaseUnavailable,
    RedisUnavailable,
    outage_of,
)
from app.core.extensions import db
from tests.factories import make_agent, make_protocol, report
from tests.support import servers
from tests.support.api import Api, InProcess
from tests.support.apps import make_app
from tests.support.processes import until


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[servers.Valkey]:
    server = servers.start_valkey(tmp_path)
    yield server
    servers.stop_server(server)


@pytest.fixture
def api_on_own_valkey(environment: dict[str, str], own_valkey: servers.Valkey) -> Iterator[Api]:
    settings = load_config(environment | {"REDIS_URL": own_valkey.url()})
    with make_app(settings) as app:
        yield Api(InProcess(app), settings.signing_key)


def execute(statement: str) -> None:
    with db.engine.begin() as connection:
        connection.execute(text(statement))


def ready(api: Api) -> Any:
    return api.with_token(None).get("//readyz")


def counted(dependency: str, cause: str) -> float:
    return OUTAGES.labels(dependency, cause)._value.get()


def make_full(server: servers.Valkey) -> None:
    server.client().config_set("maxmemory", "1mb")


def make_replica(server: servers.Valkey) -> None:
    server.client().execute_command("REPLICAOF", "127.0.0.1", "1")


@pytest.mark.parametrize(
    ("spoil", "code", "cause"), [(make_full, "REDIS_FULL", "full"), (make_replica, "REDIS_READ_ONLY", "read_only")]
)
def test_a_redis_without_writes_makes_readyz_503_with_the_cause(  # noqa: PLR0917 - fixtures
    spoil: Any,
    code: str,
    cause: str,
    api_on_own_valkey: Api,
    own_valkey: servers.Valkey,
    caplog: Any,
) -> None:
    api = api_on_own_valkey
    protocol_id = make_protocol(api)
    agent_id = make_agent(api)
    before = counted("redis", cause)

    spoil(own_valkey)
    with caplog.at_level(logging.ERROR):
        refused = api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id))

    assert (refused.status, refused.code) == (503, code)
    assert int(refused.headers["retry-after"]) >= 1
    assert counted("redis", cause) > before
    assert [record.cause for record in caplog.records if record.message == "dependency.failed"]
    unready = until(lambda: (found := ready(api)).status == 503 and found, 10, "it is not ready")
    assert unready.json["parts"]["redis"] == "down"


def test_an_unknown_column_is_a_bug_and_not_an_outage(api: Api, in_context: Flask, caplog: Any) -> None:
    make_protocol(api)
    execute("ALTER TABLE protocols RENAME COLUMN name TO other")

    with caplog.at_level(logging.ERROR):
        answer = api.viewer.get("/protocols")

    assert (answer.status, answer.code) == (500, "INTERNAL_ERROR")
    assert "retry-after" not in answer.headers
    assert "request.failed" in [record.message for record in caplog.records]
    assert migration.missing_columns() == ["protocols.name"]


def test_a_schema_older_than_the_code_is_not_ready_and_has_its_own_code(api: Api, in_context: Flask) -> None:
    execute("UPDATE alembic_version SET version_num = '0001'")
    execute("ALTER TABLE protocols RENAME COLUMN name TO other")

    answers = [ready(api), api.viewer.get("/protocols")]

    assert [(answer.status, answer.code) for answer in answers] == [(503, "SCHEMA_OUTDATED")] * 2


def test_a_schema_of_a_newer_release_is_ready(api: Api, in_context: Flask) -> None:
    execute("UPDATE alembic_version SET version_num = '9999'")

    assert ready(api).status == 200


def test_a_database_that_refuses_writes_is_not_ready(postgres_url: str, redis_url: str, tmp_path: Path) -> None:
    environment = {
        "DASHBOARD_HOME": str(tmp_path),
        "REDIS_URL": redis_url,
        "DASHBOARD_SIGNING_KEY": "0123456789abcdef" * 4,
        "DATABASE_URL": postgres_url,
    }
    with make_app(load_config(environment)) as app:
        api = Api(InProcess(app), environment["DASHBOARD_SIGNING_KEY"])
        with app.app_context():
            db.session.execute(text("SELECT 1"))
            name = db.engine.url.database
            execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
            db.engine.dispose()
        unready, refused = ready(api), api.admin.post("/protocols", {"name": "x"})

    assert (unready.status, unready.json["parts"]["database"]) == (503, "down")
    assert (refused.status, refused.code) == (503, "DATABASE_READ_ONLY")


def error_of(statement: str, path: str, *before: str, uri: bool = False) -> DBAPIError:
    connection = sqlite3.connect(path, isolation_level=None, uri=uri, timeout=0)
    for each in before:
        connection.execute(each)
    with pytest.raises(sqlite3.Error) as raised:
        connection.execute(statement)
    return DBAPIError.instance(statement, {}, raised.value, sqlite3.Error)  # type: ignore[return-value]


def test_a_disk_without_space_for_sqlites_shared_memory_file_is_full() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR_SHMSIZE"

    assert outage_of(DBAPIError.instance("INSERT", {}, error, sqlite3.Error)) is DatabaseFull  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [psycopg.OperationalError, psycopg.errors.ConnectionTimeout])
def test_a_postgresql_that_cannot_be_reached_in_time_is_an_outage(kind: type[psycopg.Error]) -> None:
    error = DBAPIError.instance("SELECT", {}, kind("timeout expired"), psycopg.Error)  # type: ignore[arg-type]

    assert outage_of(error) is DatabaseUnavailable


def test_sqlite_errors_are_classified_by_their_cause(tmp_path: Path) -> None:
    path = str(tmp_path / "some.db")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("CREATE TABLE t (x)")
    fill = "INSERT INTO t SELECT zeroblob(100000)"

    full = error_of(fill, path, "PRAGMA max_page_count = 3")
    read_only = error_of(fill, f"file:{path}?mode=ro", uri=True)
    holder.execute("BEGIN IMMEDIATE")
    busy = error_of("BEGIN IMMEDIATE", path)
    mistake = error_of("SELECT missing FROM t", path)

    found = [outage_of(each) for each in (full, read_only, busy)]
    assert found == [DatabaseFull, DatabaseReadOnly, DatabaseBusy]
    assert "no such column" in str(mistake)
    assert outage_of(mistake) is None


@pytest.mark.parametrize(
    ("reply", "outage"),
    [
        ("CLUSTERDOWN The cluster is down", RedisUnavailable),
        ("TRYAGAIN Multiple keys request during rehashing of slot", RedisUnavailable),
        ("MOVED 7 127.0.0.1:1", RedisUnavailable),
        ("CROSSSLOT Keys in request don't hash to the same slot", None),
    ],
)
def test_a_cluster_without_an_owner_for_a_slot_is_an_outage_and_a_wrong_script_is_not(reply: str, outage: Any) -> None:
    assert outage_of(DefaultParser.parse_error(reply)) is outage
