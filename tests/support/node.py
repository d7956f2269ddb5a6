"""The official JavaScript client, pinned and fetched once by npm."""

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.machine_speed import patience

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "tests" / "js"
CACHE = ROOT / ".cache" / "npm"


def node_binary() -> str:
    """The path of `node`. Raises RuntimeError instead of skipping tests."""
    found = shutil.which("node")
    if found is None:
        raise RuntimeError("`node` (18 or newer, with npm) is needed on PATH for the tests with the JavaScript client")
    return found


def client_modules() -> Path:
    """A folder whose `node_modules` holds socket.io-client."""
    return locked_packages(SOURCES, "client")


def locked_packages(sources: Path, name: str) -> Path:
    """A folder whose `node_modules` holds the packages of `sources`; installed once for each state of its lock file."""
    manifest, lock = sources / "package.json", sources / "lock.json"
    digest = hashlib.sha256(manifest.read_bytes() + lock.read_bytes()).hexdigest()[:16]
    folder = CACHE / f"{name}-{digest}"
    with one_at_a_time(folder):
        if not (folder / "package.json").exists():
            install(folder, manifest, lock)
    return folder


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one process at a time fill `folder`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(folder: Path, manifest: Path, lock: Path) -> None:
    """Install the packages of the lock file into the folder. Raises RuntimeError."""
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("`npm` is needed on PATH to fetch the JavaScript packages of the tests")
    staging = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    shutil.copyfile(manifest, staging / "package.json")
    shutil.copyfile(lock, staging / "package-lock.json")
    argv = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(argv, cwd=staging, capture_output=True, text=True, timeout=patience(120), check=False)
    if done.returncode:
        shutil.rmtree(staging)
        raise RuntimeError(f"npm could not install the JavaScript packages:\n{done.stdout}{done.stderr}")
    staging.rename(folder)
