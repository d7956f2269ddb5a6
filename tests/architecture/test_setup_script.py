"""`make setup` names what is missing, finds a newer Python and repairs an unfinished .venv."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.project_files import ROOT

INPUTS = (
    "requirements.lock",
    "requirements-run.lock",
    "pyproject.toml",
    "clients/python/pyproject.toml",
    "app/dashboard/package-lock.json",
)
PYTHONS = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python"]
NEW_PYTHON = """#!/bin/sh
echo "{name} $*" >>{log}
case "$*" in
  "-m venv .venv")
    mkdir -p .venv/bin && cp "$0" .venv/bin/python
    printf '#!/bin/sh\\necho "pip 1 from %s/.venv/lib"\\n' "$PWD" >.venv/bin/pip && chmod +x .venv/bin/pip ;;
  *requirements.lock*) [ ! -e {log}.pip-fails ] ;;
esac
"""
OLD_PYTHON = """#!/bin/sh
case "$*" in --version) echo "Python 3.10.12" ;; *) exit 1 ;; esac
"""
OLD_NODE = """#!/bin/sh
case "$*" in --version) echo v18.19.0 ;; *) exit 1 ;; esac
"""


class Clone:
    """A folder with the script, in which only these commands exist besides the shell's own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin, self.log = folder / "clone", folder / "bin", folder / "log"
        for each in (self.bin, self.folder / "scripts", self.folder / ".dashboard"):
            each.mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "setup", self.folder / "scripts" / "setup")
        for name in (*INPUTS, ".dashboard/dashboard.db"):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).touch()
        for name in PYTHONS:
            self.command(name, OLD_PYTHON)

    def command(self, name: str, text: str = NEW_PYTHON) -> None:
        path = self.bin / name
        path.write_text(text.format(name=name, log=self.log), encoding="utf-8")
        path.chmod(0o755)

    def setup(self, *packages: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        self.log.write_text("", encoding="utf-8")
        given = {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", **environment}
        command = ["scripts/setup", *packages]
        return subprocess.run(command, cwd=self.folder, env=given, capture_output=True, text=True, timeout=60)

    @property
    def installed(self) -> list[str]:
        """The lock files of which pip was given both halves."""
        halves = re.findall(r"--require-hashes -r \.venv/(\S+)\.([01])", self.log.read_text(encoding="utf-8"))
        assert all((lock, str(1 - int(number))) in halves for lock, number in halves)
        return sorted({lock for lock, _ in halves})

    @property
    def made_with(self) -> list[str]:
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [line.split()[0] for line in lines if line.endswith("-m venv .venv")]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_a_newer_python_beside_an_old_one_is_found(clone: Clone) -> None:
    clone.command("python3.12")

    assert clone.setup().returncode == 0
    assert clone.made_with == ["python3.12"]
    assert clone.setup().returncode == 0
    assert clone.log.read_text().count("pip install") == 0, "nothing is left to do"


def test_run_installs_what_it_needs_and_a_developers_first_command_the_rest(clone: Clone) -> None:
    clone.command("python3")
    wanted = {"requirements-run.lock": "run", "requirements.lock": "dev"}
    for lock, packages in wanted.items():
        assert [clone.setup(packages).returncode, clone.installed] == [0, [lock]]
        assert [clone.setup("run").returncode, clone.installed] == [0, []]
    assert [clone.setup().returncode, clone.installed] == [0, []]

    for stamp in (clone.folder / ".venv").glob(".installed-*"):
        os.utime(stamp, (1, 1))  # as if the lock files were newer
    assert [clone.setup("run").returncode, clone.installed] == [0, ["requirements-run.lock"]]
    assert [clone.setup("run").returncode, clone.installed] == [0, []]
    assert [clone.setup().returncode, clone.installed] == [0, ["requirements.lock"]]


def test_what_run_installs_is_a_part_of_what_developers_have() -> None:
    run, dev = ((ROOT / name).read_text(encoding="utf-8") for name in ("requirements-run.lock", "requirements.lock"))
    packages = re.findall(r"^[a-z0-9.-]+==\S+", run, re.MULTILINE)

    assert packages
    assert set(packages) < set(re.findall(r"^[a-z0-9.-]+==\S+", dev, re.MULTILINE))
    assert not {each for each in packages if re.match(r"(pytest|mypy|ruff|playwright|hypothesis)\b", each)}


def test_a_changed_module_of_the_client_package_is_copied_to_the_page_and_nothing_else_is_done(clone: Clone) -> None:
    module = clone.folder / "clients" / "js" / "src" / "room" / "state.js"
    module.parent.mkdir(parents=True)
    module.touch()
    clone.command("python3")
    clone.setup()
    copying = "-m app.dashboard.assets"
    assert [clone.setup().returncode, copying in clone.log.read_text()] == [0, False]
    module.write_text("changed")
    assert [clone.setup().returncode, clone.log.read_text().splitlines()[-1][-len(copying) :]] == [0, copying]
    assert "pip install" not in clone.log.read_text()
    module.unlink()
    assert [clone.setup().returncode, copying in clone.log.read_text()] == [0, True]


def test_without_a_suitable_python_it_names_the_present_one_and_the_remedy(clone: Clone) -> None:
    done = clone.setup()

    assert done.returncode == 1
    assert "Python 3.11 or newer is needed; here is Python 3.10.12." in done.stderr
    assert "make setup PYTHON=" in done.stderr
    assert not (clone.folder / ".venv").exists()


def test_the_python_given_by_name_is_used_or_rejected(clone: Clone) -> None:
    clone.command("python3.12")
    clone.command("python3.13")

    assert clone.setup(PYTHON="python3.10-of-mine").returncode == 1
    assert clone.setup(PYTHON="python3.12").returncode == 0
    assert clone.made_with == ["python3.12"]


def test_an_outdated_node_is_reported_before_anything_is_built(clone: Clone) -> None:
    clone.command("python3")
    clone.command("node", OLD_NODE)
    done = clone.setup()

    assert done.returncode == 1
    assert "Node 20.19 or newer with npm is needed; here is Node v18.19.0" in done.stderr
    assert not (clone.folder / ".venv").exists()


@pytest.mark.parametrize("damage", ["cut off", "python gone", "pip gone", "older python", "moved"])
def test_a_broken_environment_is_rebuilt_and_the_ledger_is_kept(clone: Clone, damage: str) -> None:
    clone.command("python3")
    if damage == "cut off":
        Path(f"{clone.log}.pip-fails").touch()
        assert clone.setup().returncode != 0
        Path(f"{clone.log}.pip-fails").unlink()
    else:
        clone.setup()
    binaries = clone.folder / ".venv" / "bin"
    if damage == "python gone":
        (binaries / "python").unlink()
    elif damage == "pip gone":
        (binaries / "pip").unlink()
    elif damage == "older python":
        (binaries / "python").write_text(OLD_PYTHON)
    elif damage == "moved":
        clone.folder = clone.folder.rename(clone.folder.with_name("moved"))

    done = clone.setup()

    assert done.returncode == 0, done.stderr
    assert "rebuilding it" in done.stdout
    assert len(clone.made_with) == 1
    assert (clone.folder / ".dashboard" / "dashboard.db").exists()


def test_clean_keeps_the_data_and_another_target_deletes_them() -> None:
    def commands(target: str) -> str:
        return subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert ".dashboard" not in commands("clean")
    assert "rm -rf .dashboard" in commands("clean-data")


@pytest.mark.parametrize(("given", "port"), [(["PORT=5001"], '--port "5001"'), ([], "")])
def test_make_run_passes_the_port(given: list[str], port: str) -> None:
    ours = ("PORT", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")  # those of the `make test` that runs this
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    command = ["make", "--no-print-directory", "-n", "run", *given]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1].strip() == f"exec .venv/bin/dashboard up --demo {port}".strip()
