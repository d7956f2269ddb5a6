"""Whether the database's schema is the one that this release was made for."""

import re
from enum import StrEnum
from functools import cache
from pathlib import Path

from sqlalchemy import inspect, text

from app.core.extensions import db

VERSIONS = Path(__file__).parents[1] / "migrations" / "versions"
_REVISION = re.compile(r"^(revision|down_revision) *(?::[^=]*)?= *['\"](\w+)['\"]", re.MULTILINE)


class SchemaState(StrEnum):
    CURRENT = "current"
    BEHIND = "behind"
    AHEAD = "ahead"  # a newer release has migrated it: releases work with the schema of the next one


@cache
def revisions() -> tuple[frozenset[str], str]:
    """All revisions of this release, and its newest. Read from the files: Alembic takes longer to load than the app."""
    known, superseded = set(), set()
    for file in VERSIONS.glob("*.py"):
        found = dict(_REVISION.findall(file.read_text(encoding="utf-8")))
        known.add(found["revision"])
        superseded.add(found.get("down_revision", ""))
    (newest,) = known - superseded
    return frozenset(known), newest


def present() -> str:
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
        return state_of(present()) is SchemaState.BEHIND
    except Exception:  # noqa: BLE001 - asked while another error is handled, which is told
        return False


def newer_release_words(revision: str) -> str:
    """What to tell about a database that a newer release has migrated."""
    return (
        f"the database is at revision {revision}, which this release does not know (its newest is {revisions()[1]}): "
        "a newer release of Dashboard Realtime has migrated it"
    )


def missing_columns() -> list[str]:
    """Tables and columns that the code knows and the database does not have. Raises SQLAlchemyError."""
    inspector = inspect(db.engine)
    missing = []
    for table in db.metadata.sorted_tables:
        if not inspector.has_table(table.name):
            missing.append(table.name)
            continue
        present_columns = {column["name"] for column in inspector.get_columns(table.name)}
        missing += [f"{table.name}.{column.name}" for column in table.columns if column.name not in present_columns]
    return missing
