"""Builds a release into dist/: `make release`. The same commit gives the same bytes, wherever and whenever it is built.

The packages of the server (wheel and sdist), of clients/python and of clients/js; what the server and its page
consist of (CycloneDX); SHA256SUMS. Only committed files are used. `--set-version 0.3.0` changes every file that names
the version.
"""

import argparse
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSION = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")
# Where the version stands, as a pattern around it; the first is the source, generated documents follow it.
PLACES = {
    "pyproject.toml": r'(?m)^version = "({})"$',
    "clients/python/pyproject.toml": r'(?m)^version = "({})"$',
    "clients/js/package.json": r'(?m)^  "version": "({})",$',
    "deploy/kubernetes/overlays/example/kustomization.yaml": r"(?m)^ *newTag: ({})$",
    "docs/deployment.md": r"dashboard-realtime:({})\b",
}
IMAGE_LOCK, SBOM_LOCK = "deploy/image/requirements.lock", "deploy/release/sbom.lock"
SDIST = "import sys, setuptools.build_meta as backend; backend.build_sdist(sys.argv[1])"
WHEEL = "import os, sys, setuptools.build_meta as backend; os.umask(0o022); backend.build_wheel(sys.argv[1])"


def versions(root: Path) -> dict[str, set[str]]:
    """The versions that each place names."""
    return {
        name: set(re.findall(pattern.format(VERSION.pattern), (root / name).read_text(encoding="utf-8")))
        for name, pattern in PLACES.items()
    }


def set_version(root: Path, version: str) -> None:
    if not VERSION.fullmatch(version):
        sys.exit(f"{version!r} is not like 0.3.0 or 0.3.0rc1")
    for name, pattern in PLACES.items():
        path = root / name
        text = path.read_text(encoding="utf-8")
        changed = re.sub(pattern.format(VERSION.pattern), lambda found: found[0].replace(found[1], version), text)
        path.write_text(changed, encoding="utf-8")


def problems(root: Path) -> list[str]:
    """Why this commit is not ready to be released."""
    found = versions(root)
    [version] = found["pyproject.toml"]
    wrong = [
        f"{name} names {', '.join(sorted(each)) or 'no version'}" for name, each in found.items() if each != {version}
    ]
    log = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"(?m)^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", log)
    if not headings or headings[0][0] != version or not headings[0][1]:
        wrong.append(f"the first section of CHANGELOG.md is not `## [{version}] - YYYY-MM-DD`")
    return wrong


def build(root: Path, revision: str, dist: Path) -> None:
    """The packages of a commit, from an export of it."""
    with tempfile.TemporaryDirectory() as folder:
        source, epoch = Path(folder, "source"), export(root, revision, Path(folder, "source"))
        environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0"}
        run([sys.executable, "-m", "app.dashboard.assets"], source, environment)
        for package in (source, source / "clients" / "python"):
            build_python(package, dist, epoch, environment)
        run(["npm", "pack", "--silent", "--pack-destination", str(dist)], source / "clients" / "js", environment)


def export(root: Path, revision: str, target: Path) -> int:
    """Write the commit's files to a new folder; returns when it was made, in Unix seconds."""
    archive = ["git", "-c", "tar.umask=0022", "archive", "--format=tar", revision]
    packed = subprocess.run(archive, cwd=root, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as files:
        files.extractall(target, filter="tar")
    return int(run(["git", "log", "-1", "--format=%ct", revision], root))


def build_python(package: Path, dist: Path, epoch: int, environment: dict[str, str]) -> None:
    """An sdist, and the wheel that pip would build from it."""
    with tempfile.TemporaryDirectory() as folder:
        run([sys.executable, "-c", SDIST, folder], package, environment)
        [packed] = Path(folder).glob("*.tar.gz")
        repack(packed, dist / packed.name, epoch)
        with tarfile.open(dist / packed.name) as files:
            files.extractall(folder, filter="tar")
        run([sys.executable, "-c", WHEEL, str(dist)], Path(folder, packed.name.removesuffix(".tar.gz")), environment)


def repack(source: Path, target: Path, epoch: int) -> None:
    """Copy an sdist without the names, times and rights of its builder, which setuptools writes into it."""
    with (
        tarfile.open(source) as old,
        target.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda each: each.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)


def list_python_parts(root: Path, lock: Path, dist: Path, version: str) -> None:
    """What the wheel, installed with `lock`, consists of."""
    with tempfile.TemporaryDirectory() as folder:
        product, tool = (make_venv(Path(folder, name)) for name in ("product", "tool"))
        install(product, "--no-compile", "--require-hashes", "-r", str(lock))
        install(product, "--no-compile", "--no-deps", *map(str, dist.glob(f"dashboard_realtime-{version}-*.whl")))
        install(tool, "--no-compile", "--require-hashes", "-r", str(root / SBOM_LOCK))
        target = dist / f"dashboard-realtime-{version}.python.cdx.json"
        options = [
            "--pyproject",
            str(root / "pyproject.toml"),
            "--output-reproducible",
            "--of",
            "JSON",
            "-o",
            str(target),
        ]
        run([str(tool.parent / "cyclonedx-py"), "environment", str(product), *options], root)


def make_venv(folder: Path) -> Path:
    """The Python of a new environment without pip, which is no part of the product."""
    run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder.parent)
    return folder / "bin" / "python"


def install(python: Path, *arguments: str) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, *arguments], python.parent)


def list_page_parts(root: Path, dist: Path, version: str) -> None:
    """What the page's modules consist of. npm needs a version; its time and random number are removed."""
    with tempfile.TemporaryDirectory(prefix="dashboard-page-") as folder:
        for name in ("package.json", "package-lock.json"):
            document = json.loads((root / "app" / "dashboard" / name).read_text(encoding="utf-8"))
            for place in (document, document.get("packages", {}).get("")):
                if place is not None:
                    place["version"] = version
            Path(folder, name).write_text(json.dumps(document), encoding="utf-8")
        listed = json.loads(
            run(["npm", "sbom", "--sbom-format=cyclonedx", "--package-lock-only", "--omit=dev"], Path(folder))
        )
    del listed["serialNumber"], listed["metadata"]["timestamp"]
    listed["metadata"]["component"]["name"] = "dashboard-page"
    target = dist / f"dashboard-realtime-{version}.npm.cdx.json"
    target.write_text(json.dumps(listed, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def write_checksums(dist: Path) -> None:
    files = sorted(path for path in dist.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (dist / "SHA256SUMS").write_text("".join(lines), encoding="ascii")


def run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"`{' '.join(command)}` failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--set-version", metavar="VERSION", help="change the version everywhere, and build nothing")
    options = parser.parse_args()
    if options.set_version:
        set_version(ROOT, options.set_version)
        return
    wrong = problems(ROOT)
    if changed := run(["git", "status", "--porcelain"], ROOT):
        wrong.append(f"there are changes that are not committed:\n{changed.rstrip()}")
    if wrong:
        sys.exit("not ready to be released:\n" + "\n".join(f"  {each}" for each in wrong))
    [version] = versions(ROOT)["pyproject.toml"]
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir()
    build(ROOT, "HEAD", dist)
    list_python_parts(ROOT, ROOT / IMAGE_LOCK, dist, version)
    list_page_parts(ROOT, dist, version)
    write_checksums(dist)
    print((dist / "SHA256SUMS").read_text(encoding="ascii"), end="")


if __name__ == "__main__":
    main()
