"""The official JavaScript client, fetched once: pinned versions, checked by npm against the lock."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "tests" / "js"
CACHE = ROOT / ".cache" / "npm"


def node_binary() -> str:
    """The path of `node`. Raises RuntimeError, never skips: without it half of the claims are unproved."""
    found = shutil.which("node")
    if found is None:
        raise RuntimeError("`node` (18 or newer, with npm) is needed on PATH for the tests with the JavaScript client")
    return found


def client_modules() -> Path:
    """A folder whose `node_modules` holds socket.io-client; installed when this lock's is not there yet."""
    manifest, lock = SOURCES / "package.json", SOURCES / "lock.json"
    digest = hashlib.sha256(manifest.read_bytes() + lock.read_bytes()).hexdigest()[:16]
    folder = CACHE / f"client-{digest}"
    if not (folder / "package.json").exists():
        _install(folder, manifest, lock)
    return folder


def _install(folder: Path, manifest: Path, lock: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("`npm` is needed on PATH to fetch the JavaScript client of the tests")
    staging = folder.with_name(f"{folder.name}.{os.getpid()}")
    staging.mkdir(parents=True)
    shutil.copyfile(manifest, staging / "package.json")
    shutil.copyfile(lock, staging / "package-lock.json")
    argv = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(argv, cwd=staging, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        shutil.rmtree(staging)
        raise RuntimeError(f"npm could not install the JavaScript client:\n{done.stdout}{done.stderr}")
    try:
        staging.rename(folder)
    except OSError:
        shutil.rmtree(staging)  # another test run was first
