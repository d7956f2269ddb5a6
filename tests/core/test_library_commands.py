"""The commands of Flask, Flask-Migrate and Celery work on the application."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from app.realtime.redis_keys import TICK_KEY
from tests.support.machine_speed import patience

pytestmark = pytest.mark.database("sqlite")

ROOT = Path(__file__).parents[2]


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


@pytest.mark.slow
def test_a_celery_worker_runs_with_an_embedded_beat(environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "celery", "-A", "celery_worker", "worker", "-B", "-c", "1"]
    own = {"PATH": os.environ["PATH"]}
    with (tmp_path / "celery.log").open("w") as log:
        worker = subprocess.Popen(command, cwd=ROOT, env=environment | own, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + patience(60)
        with redis.Redis.from_url(environment["REDIS_URL"]) as client:
            while not client.exists(TICK_KEY):
                assert time.monotonic() < deadline, (tmp_path / "celery.log").read_text()
                time.sleep(0.1)
    finally:
        worker.terminate()
        worker.wait(60)
