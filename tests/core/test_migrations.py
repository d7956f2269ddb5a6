"""Migrations go up and down on both databases, with data, and result in the models' schema."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import inspect, text

from app.config import load_config
from app.core.database import transaction
from app.core.extensions import db
from app.core.migration import alembic_config, upgrade
from tests.factories import deposit, file_vulnerability, make_protocol
from tests.support import databases
from tests.support.api import Api, InProcess
from tests.support.apps import make_app

VERSIONS = Path(__file__).parents[2] / "app/migrations"
REVISIONS = [each.revision for each in ScriptDirectory(str(VERSIONS)).walk_revisions()][::-1]


def downgrade(revision: str) -> None:
    command.downgrade(alembic_config(), revision)


def tables() -> set[str]:
    return set(inspect(db.engine).get_table_names()) - {"alembic_version"}


def use(api: Api) -> str:
    """Leave a row in every table that money touches."""
    protocol_id = make_protocol(api)
    deposit(api, protocol_id, "10.00")
    vulnerability = file_vulnerability(api, protocol_id, bounty="4.00")
    api.validator.post(f"/vulnerabilities/{vulnerability['id']}/confirm", {}, Idempotency_Key="k1").expect(200)
    api.owner.post(f"/vulnerabilities/{vulnerability['id']}/payment", {"recipient": "0xabc"}).expect(202)
    return protocol_id


@contextmanager
def connected() -> Iterator[Any]:
    db.session.remove()
    with db.engine.connect() as connection:
        yield connection


def test_the_newest_schema_matches_the_models(migrated: tuple[Flask, Api]) -> None:
    upgrade()

    with connected() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, db.metadata) == []


def test_each_migration_can_be_reverted_and_applied_again(migrated: tuple[Flask, Api]) -> None:
    for revision in REVISIONS:
        upgrade(revision)
        before = tables()
        downgrade("-1")
        upgrade(revision)
        assert tables() == before, revision


def test_all_the_way_down_with_data_leaves_no_table(migrated: tuple[Flask, Api]) -> None:
    upgrade()
    use(migrated[1])
    db.session.remove()

    downgrade("base")

    assert tables() == set()


def test_the_newest_migration_keeps_the_previous_releases_data(migrated: tuple[Flask, Api]) -> None:
    _, api = migrated
    upgrade()
    protocol_id = use(api)
    pool = api.viewer.get(f"/protocols/{protocol_id}/pool").expect(200)
    db.session.remove()

    downgrade("-1")
    upgrade()

    assert api.viewer.get(f"/protocols/{protocol_id}/pool").expect(200) == pool


def test_migrating_twice_changes_nothing(migrated: tuple[Flask, Api]) -> None:
    upgrade()
    protocol_id = use(migrated[1])
    db.session.remove()

    upgrade()

    assert migrated[1].viewer.get(f"/protocols/{protocol_id}").expect(200)["id"] == protocol_id


def test_a_migration_waits_for_another_writer(migrated: tuple[Flask, Api]) -> None:
    upgrade()
    db.session.remove()
    has_begun, has_ended = threading.Event(), threading.Event()

    def write() -> None:
        with migrated[0].app_context(), transaction() as session:
            session.execute(text("UPDATE alembic_version SET version_num = version_num"))
            has_begun.set()
            time.sleep(0.5)
            has_ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert has_begun.wait(20)
    downgrade("-1")
    assert has_ended.is_set()
    writer.join()

    upgrade()
    assert tables()


def test_times_are_utc_in_any_session_time_zone(postgres_url: str, tmp_path: Path, redis_url: str) -> None:
    key = "0123456789abcdef" * 4
    environment = databases.environment(home=tmp_path, database_url=postgres_url, redis_url=redis_url, signing_key=key)
    with make_app(load_config(environment)) as app, app.app_context():
        name = db.engine.url.database
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"ALTER DATABASE \"{name}\" SET timezone TO 'Asia/Kathmandu'"))
        db.engine.dispose()
        api = Api(InProcess(app), key)
        created = api.admin.get(f"/protocols/{make_protocol(api)}").expect(200)["createdAt"]
        told = db.session.execute(text("SELECT now() AT TIME ZONE 'UTC'")).scalar_one()

    assert created[:15] == f"{told:%Y-%m-%dT%H:%M}"[:15]
    assert created.endswith("Z")
