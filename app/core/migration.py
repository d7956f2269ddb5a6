"""The database's schema: its state against this release, and migrations up and down. Needs an app context."""

import re
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from app.core.extensions import db

if TYPE_CHECKING:
    from alembic.config import Config

FOLDER = Path(__file__).parents[1] / "migrations"
_REVISION = re.compile(r"^(revision|down_revision) *(?::[^=]*)?= *['\"](\w+)['\"]", re.MULTILINE)


class SchemaState(StrEnum):
    CURRENT = "current"
    BEHIND = "behind"
    AHEAD = "ahead"  # migrated by a newer release: each release works with the schema of the next one


@cache
def revisions() -> tuple[frozenset[str], str]:
    """All revisions of this release, and its newest. Parsed from the files: importing Alembic is slower."""
    known, superseded = set(), set()
    for file in (FOLDER / "versions").glob("*.py"):
        found = dict(_REVISION.findall(file.read_text(encoding="utf-8")))
        known.add(found["revision"])
        superseded.add(found.get("down_revision", ""))
    (newest,) = known - superseded
    return frozenset(known), newest


def current_revision() -> str:
    """The database's revision; empty when it has none. Raises SQLAlchemyError."""
    with db.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return ""
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def state_of(revision: str) -> SchemaState:
    known, newest = revisions()
    if revision == newest:
        return SchemaState.CURRENT
    return SchemaState.BEHIND if not revision or revision in known else SchemaState.AHEAD


def is_behind() -> bool:
    """False also when the database does not answer."""
    try:
        return state_of(current_revision()) is SchemaState.BEHIND
    except Exception:  # noqa: BLE001 - called while another error is handled, which is the one to report
        return False


def describe_newer_schema(revision: str) -> str:
    """The message about a database that a newer release has migrated."""
    return (
        f"the database is at revision {revision}, which this release does not know (its newest is {revisions()[1]}): "
        "a newer release of Dashboard Realtime has migrated it"
    )


def append_only_triggers(table: str, dialect: str) -> list[str]:
    """The SQL after which the database refuses to change or delete a row of the table."""
    refusal, name = f"'{table} is append-only'", f"{table}_append_only"
    if dialect == "sqlite":
        action = f"BEGIN SELECT RAISE(ABORT, {refusal}); END"
        events = ("UPDATE", "DELETE")
        return [f"CREATE TRIGGER {table}_no_{each.lower()} BEFORE {each} ON {table} {action}" for each in events]
    action = f"BEGIN RAISE EXCEPTION {refusal}; END"
    trigger = f"CREATE TRIGGER {name} BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT"
    return [
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ {action} $$",
        f"{trigger} EXECUTE FUNCTION {name}()",
    ]


def missing_columns() -> list[str]:
    """Tables and columns of the models that the database lacks. Raises SQLAlchemyError."""
    inspector = inspect(db.engine)
    missing = []
    for table in db.metadata.sorted_tables:
        if not inspector.has_table(table.name):
            missing.append(table.name)
            continue
        existing = {column["name"] for column in inspector.get_columns(table.name)}
        missing += [f"{table.name}.{column.name}" for column in table.columns if column.name not in existing]
    return missing


def upgrade(revision: str = "head") -> None:
    """Apply the migrations up to `revision`. Raises SQLAlchemyError, alembic.util.CommandError."""
    from alembic import command  # noqa: PLC0415 - slower to import than the rest of a worker

    command.upgrade(alembic_config(), revision)


def alembic_config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415 - slower to import than the rest of a worker

    config = Config(FOLDER / "alembic.ini")
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return config
