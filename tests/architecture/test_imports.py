"""Imports run downwards only, and only the runtime depends on the async mode."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.background import create_background_app
from app.config import Config
from tests.support.stack import ROOT

pytestmark = pytest.mark.database("sqlite")


def test_every_import_contract_holds() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def loaded(code: str, *names: str, **environment: str) -> list[str]:
    """Which of these modules `code` loads."""
    show = f"import sys; {code}; print([m for m in {names!r} if m in sys.modules])"
    command = [sys.executable, "-c", show]
    more = os.environ | environment
    done = subprocess.run(command, cwd=ROOT, env=more, capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout.splitlines()[-1])


def test_the_command_line_starts_without_eventlet_celery_and_flask_sqlalchemy() -> None:
    assert loaded("import app.cli", "eventlet", "celery", "flask_sqlalchemy") == []


def test_the_supervisor_of_up_loads_no_framework() -> None:
    settings = "Config(redis_url='redis://127.0.0.1:1/0', rooms_redis_url='valkey-cluster://127.0.0.1:1')"
    watch = "from app.config import Config; from app.cli.supervisor.readiness import Readiness; "
    watch += f"Readiness(None, {settings}, '')"
    assert loaded(watch, "flask", "sqlalchemy", "celery", "socketio", "eventlet") == []


def test_workers_and_beat_load_neither_rest_nor_migrations(environment: dict[str, str]) -> None:
    rest = (
        "flask_smorest",
        "apispec",
        "app.http.rest",
        "app.agents.routes",
        "app.dashboard.routes",
        "app.apidocs.openapi",
    )
    assert loaded("import celery_worker", *rest, "alembic", "flask_migrate", **environment) == []


def test_the_web_application_loads_no_migrations() -> None:
    assert loaded("import app.factory", "alembic", "flask_migrate") == []


def test_an_app_without_rest_has_no_route(settings: Config) -> None:
    assert list(create_background_app(settings).url_map.iter_rules()) == []
