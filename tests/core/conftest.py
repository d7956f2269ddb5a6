"""Databases that no migration has touched."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from app.config import load_config
from tests.support import databases, servers
from tests.support.api import Api, InProcess
from tests.support.apps import make_app


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: servers.Postgres = request.getfixturevalue("postgres")
    with databases.copy_postgres(server, "template0") as url:
        yield url


@pytest.fixture
def migrated(empty_database: str, tmp_path: Path, redis_url: str) -> Iterator[tuple[Flask, Api]]:
    """An app on a database that nothing has touched, and callers of it."""
    key = "0123456789abcdef" * 4
    environment = databases.environment(
        home=tmp_path, database_url=empty_database, redis_url=redis_url, signing_key=key
    )
    with make_app(load_config(environment)) as app, app.app_context():
        yield app, Api(InProcess(app), key)
