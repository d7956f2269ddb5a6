"""The commands of Flask and Flask-Migrate work on the application."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


def flask(environment: dict[str, str], *arguments: str, text: str = "") -> str:
    command = [sys.executable, "-m", "flask", "--app", "wsgi", *arguments]
    own = {"PATH": os.environ["PATH"], "FLASK_SKIP_DOTENV": "1"}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment | own, input=text, capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def test_flask_routes_lists_the_routes(environment: dict[str, str]) -> None:
    assert "/api/v1/protocols" in flask(environment, "routes")


def test_flask_db_upgrade_and_current_know_the_migrations(environment: dict[str, str]) -> None:
    flask(environment, "db", "upgrade")

    assert "(head)" in flask(environment, "db", "current")


def test_flask_shell_shows_settings_but_no_secret(environment: dict[str, str]) -> None:
    shown = flask(environment, "shell", text='print(app.config["DASHBOARD_REST_PER_TOKEN"], *app.config)\n')

    assert "1000" in shown
    assert "DASHBOARD_SIGNING_KEY" not in shown


def test_a_faulty_configuration_is_named_without_a_traceback(environment: dict[str, str]) -> None:
    assert "REDIS_URL" in flask(environment | {"REDIS_URL": "http://x"}, "routes")
