"""systemd's own checker accepts the units, and they run the processes of the compose stack with few rights."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.containers.tools import NoEngineError, fetch_systemd_analyze
from tests.support.machine_speed import patience

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy/systemd"
MOST_EXPOSURE = 20  # tenths: systemd's "OK"
Analyze = Callable[..., str]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root folder with the units, installed as docs/deployment.md says."""
    root = tmp_path_factory.mktemp("root")
    folder = root / "etc/systemd/system"
    (folder / "dashboard-.service.d").mkdir(parents=True)
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.target")):
        shutil.copy(unit, folder)
    shutil.copy(UNITS / "hardening.conf", folder / "dashboard-.service.d")
    program = root / "opt/dashboard/.venv/bin/dashboard"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n", encoding="ascii")
    program.chmod(0o755)
    return root


@pytest.fixture(scope="module")
def analyze(installed: Path) -> Analyze:
    """Run `systemd-analyze` on the root folder; returns all its output."""
    try:
        program, libraries = fetch_systemd_analyze()
    except NoEngineError as error:
        pytest.fail(f"no systemd-analyze: {error}")
    paths = f"{libraries}:{libraries / 'systemd'}:{installed}"

    def run(*arguments: str) -> str:
        command = [str(program), *arguments, f"--root={installed}"]
        environment = os.environ | {"LD_LIBRARY_PATH": paths, "SYSTEMD_COLORS": "0"}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=patience(60), check=False
        )
        return done.stdout + done.stderr

    return run


@pytest.mark.parametrize("unit", sorted(path.name for path in UNITS.glob("*.service")))
def test_systemd_understands_the_unit(analyze: Analyze, unit: str) -> None:
    said = analyze("verify", "--man=no", unit.replace("@", "@5001"))

    # Only the root folder's missing system targets may be complained of.
    assert [line for line in said.splitlines() if "sysinit.target not found" not in line] == []


@pytest.mark.parametrize("unit", sorted(path.name for path in UNITS.glob("*.service")))
def test_the_unit_has_few_rights(analyze: Analyze, unit: str) -> None:
    said = analyze(
        "security", "--offline=yes", f"--threshold={MOST_EXPOSURE}", "--json=short", unit.replace("@", "@5001")
    )

    assert "higher than" not in said, said[-500:]
    assert "CapabilityBoundingSet" in said


def test_each_process_of_the_compose_stack_has_a_unit() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    commands = {" ".join(each["command"]) for name, each in services.items() if name.startswith(("worker", "beat"))}
    started = set()
    for unit in UNITS.glob("dashboard-*.service"):
        line = next(line for line in unit.read_text(encoding="utf-8").splitlines() if line.startswith("ExecStart="))
        started.add(" ".join(shlex.split(line)[1:]))

    assert commands <= started
