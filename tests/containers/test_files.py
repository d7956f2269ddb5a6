"""Compose file, Dockerfile, alert rules and proxy configuration pass the checkers of their formats."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers.compose import Compose
from tests.containers.tools import NoEngineError, fetch_promtool
from tests.support.machine_speed import patience

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus"


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    try:
        return found or str(fetch_promtool())
    except NoEngineError as error:
        pytest.fail(f"no promtool: {error}")


def test_the_compose_file_is_valid(compose: Compose) -> None:
    compose("config", "--quiet")


def test_the_dockerfile_passes_its_linter() -> None:
    linter = Path(sys.executable).parent / "hadolint"

    done = subprocess.run([str(linter), str(ROOT / "Dockerfile")], capture_output=True, text=True, timeout=patience(60))

    assert done.returncode == 0, done.stdout


def test_the_alert_rules_are_valid(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "rules", RULES / "alerts.yml"], capture_output=True, text=True, timeout=patience(60)
    )

    assert done.returncode == 0, done.stderr
    assert "SUCCESS" in done.stdout


def test_the_alert_rules_fire_in_prometheus_itself(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "test", "rules", RULES / "alerts.test.yml"], capture_output=True, text=True, timeout=patience(60)
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_proxys_configuration_is_valid(compose: Compose) -> None:
    compose.exec("proxy", "haproxy", "-c", "-f", "/usr/local/etc/haproxy/haproxy.cfg")
