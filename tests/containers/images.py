"""The images of the stack: the project's own, and replacements for public ones if no registry can be reached."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.containers.engine import Engine
from tests.containers.tools import KEYRING, MIRROR, cache
from tests.support.machine_speed import patience

ROOT = Path(__file__).parents[2]
RECIPES = Path(__file__).parent / "ci"
IMAGE = "dashboard-realtime:local"
RELEASE = "trixie"
BASE = "ci-base:local"
STAND_INS = {
    "python": "python:3.13-slim",
    "postgres": "postgres:17",
    "valkey": "valkey/valkey:8.1",
    "haproxy": "haproxy:3.0",
}
PACKAGES = "ca-certificates,python3,python3-venv,python3-pip,postgresql-17,valkey-server,haproxy"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
CERTIFICATE_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
NEEDLESS = ("var/cache/apt", "usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists")
BUILD_SECONDS = 600


def make_images(engine: Engine) -> None:
    """Build the project's image from the Dockerfile, after the replacements if needed."""
    network = []
    if not engine.has_registry:
        _make_stand_ins(engine)
        network = ["--network", "host"]
    engine.docker("build", "--quiet", *network, "--tag", IMAGE, str(ROOT), seconds=BUILD_SECONDS)


def _make_stand_ins(engine: Engine) -> None:
    recipe = hashlib.sha256(PACKAGES.encode() + Path(__file__).read_bytes()).hexdigest()
    label = '{{index .Config.Labels "recipe"}}'
    if engine.docker("image", "inspect", "--format", label, BASE, check=False) != recipe:
        _import(engine, _root_folder(engine), recipe)
    for target, name in STAND_INS.items():
        engine.docker("build", "--quiet", "--target", target, "--tag", name, str(RECIPES), seconds=BUILD_SECONDS)


def _root_folder(engine: Engine) -> Path:
    """A Debian base image, cached because it takes a minute to build."""
    assert engine.tools is not None
    root = cache() / f"root-{hashlib.sha256(PACKAGES.encode()).hexdigest()[:12]}"
    if not (root / ".complete").exists():
        shutil.rmtree(root, ignore_errors=True)
        scripts = engine.tools / "usr/share/debootstrap"
        command = ["sh", str(engine.tools / "usr/sbin/debootstrap"), "--variant=minbase", f"--keyring={KEYRING}"]
        log = cache() / "debootstrap.log"
        with log.open("wb") as output:
            subprocess.run(
                [*command, f"--include={PACKAGES}", RELEASE, str(root), MIRROR],
                env={**os.environ, "DEBOOTSTRAP_DIR": str(scripts)},
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=patience(BUILD_SECONDS),
                check=True,
            )
        _fit(root)
    return root


def _fit(root: Path) -> None:
    """Place files where the public images have them, and copy the machine's certificates."""
    for folder in NEEDLESS:
        shutil.rmtree(root / folder, ignore_errors=True)
    (root / "var/lib/apt/lists/partial").mkdir(parents=True, exist_ok=True)
    for name in ("python", "python3"):
        (root / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
    shutil.copyfile(CERTIFICATES, root / CERTIFICATES.lstrip("/"))
    (root / ".complete").touch()


def _import(engine: Engine, root: Path, recipe: str) -> None:
    changes = [f"ENV {name}={CERTIFICATES}" for name in CERTIFICATE_VARIABLES] + [f"LABEL recipe={recipe}"]
    options = [part for change in changes for part in ("--change", change)]
    archive = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
    with archive:
        subprocess.run(
            ["docker", "import", *options, "-", BASE],
            env=engine.environment,
            stdin=archive.stdout,
            capture_output=True,
            timeout=patience(BUILD_SECONDS),
            check=True,
        )
