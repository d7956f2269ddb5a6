"""The JavaScript package of clients/js, as npm packs and installs it."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.support import document_tools
from tests.support.machine_speed import patience
from tests.support.node import CACHE, ROOT, one_at_a_time
from tests.support.project_files import project_files

SOURCES = ROOT / "clients" / "js"
NAME = "@dashboard-realtime/client"


def installed() -> Path:
    """A folder whose `node_modules` holds the package, installed from its tarball, and the packages of the tests.

    Made once for each state of the sources.
    """
    digest = hashlib.sha256()
    for path in [*project_files(SOURCES, "*"), document_tools.SOURCES / "lock.json"]:
        digest.update(str(path).encode() + b"\0" + path.read_bytes())
    folder = CACHE / f"package-{digest.hexdigest()[:16]}"
    with one_at_a_time(folder):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _install(folder)
            (folder / "complete").touch()
    return folder


def _install(folder: Path) -> None:
    """Into an empty folder; then link the packages of the tests beside it."""
    npm("pack", "--silent", str(SOURCES), cwd=folder)
    (tarball,) = folder.glob("*.tgz")
    (folder / "package.json").write_text('{"type": "module", "private": true}', encoding="utf-8")
    npm("install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", str(tarball), cwd=folder)
    modules = folder / "node_modules"
    for path in document_tools.modules().iterdir():
        if not path.name.startswith(".") and not (modules / path.name).exists():
            (modules / path.name).symlink_to(path)


def npm(*arguments: str, cwd: Path) -> str:
    command = shutil.which("npm")
    assert command is not None, "`npm` is needed on PATH"
    done = subprocess.run([command, *arguments], cwd=cwd, capture_output=True, text=True, timeout=patience(120))
    assert done.returncode == 0, f"npm {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
    return done.stdout
