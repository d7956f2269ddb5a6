"""`make release`: the same commit gives the same bytes, complete and with the lists of what they consist of."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.machine_speed import patience
from tests.support.project_files import ROOT

SCRIPT = ROOT / "scripts" / "release.py"
NOT_IN_THE_WHEEL = {"app/dashboard/package.json", "app/dashboard/package-lock.json", "app/dashboard/runbooks"}
BUILD = "import pathlib, sys; sys.path.insert(0, sys.argv[1]); import release; "
BUILD += "release.build(pathlib.Path(sys.argv[2]), 'HEAD', pathlib.Path(sys.argv[3]))"

pytestmark = pytest.mark.timeout(900)  # npm and setuptools on a busy machine


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


release = load()


def build(root: Path, target: Path, umask: int, **environment: str) -> Path:
    target.mkdir()
    subprocess.run(
        [sys.executable, "-c", BUILD, str(SCRIPT.parent), str(root), str(target)],
        env=os.environ | environment, umask=umask, check=True, timeout=patience(240),
    )  # fmt: skip
    return target


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("release") / "dist", 0o022)


@pytest.fixture(scope="module")
def version() -> str:
    [found] = release.versions(ROOT)["pyproject.toml"]
    return found


@pytest.mark.slow
def test_a_build_elsewhere_and_later_gives_the_same_bytes(dist: Path, tmp_path: Path) -> None:
    clone = tmp_path / "a clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    (tmp_path / "scratch").mkdir()

    again = build(clone, tmp_path / "dist", 0o077, TZ="Asia/Tokyo", TMPDIR=str(tmp_path / "scratch"), USER="other")

    for each in (dist, again):
        release.write_checksums(each)
    assert len(list(dist.iterdir())) == 6
    assert (again / "SHA256SUMS").read_text() == (dist / "SHA256SUMS").read_text()


def test_the_wheel_holds_every_file_of_the_application_and_the_modules_of_the_page(dist: Path, version: str) -> None:
    listed = ["git", "ls-files", "app", "tasks", "wsgi.py", "celery_worker.py"]
    committed = set(subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())
    held = set(zipfile.ZipFile(dist / f"dashboard_realtime-{version}-py3-none-any.whl").namelist())

    assert committed - held == NOT_IN_THE_WHEEL
    runbooks = {f"app/dashboard/runbooks/{path.name}" for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    vendor = "app/dashboard/static/vendor"
    assert runbooks | {f"{vendor}/preact.js", f"{vendor}/client/room-client.js"} <= held


def test_nobodys_name_and_only_the_commits_time_are_in_an_sdist(dist: Path, version: str) -> None:
    asked = ["git", "log", "-1", "--format=%ct"]
    made = int(subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    for name in ("dashboard_realtime", "dashboard_realtime_client"):
        with tarfile.open(dist / f"{name}-{version}.tar.gz") as files:
            members = files.getmembers()
        assert {(each.mtime, each.uid, each.gid, each.uname, each.gname) for each in members} == {(made, 0, 0, "", "")}
        assert {each.mode for each in members} <= {0o644, 0o755}


def test_the_list_of_the_pages_parts_names_each_module_of_the_lock(dist: Path, tmp_path: Path) -> None:
    release.list_page_parts(ROOT, tmp_path, "9.9.9")

    listed = json.loads((tmp_path / "dashboard-realtime-9.9.9.npm.cdx.json").read_text())
    locked = json.loads((ROOT / "app" / "dashboard" / "package-lock.json").read_text())["packages"]
    wanted = {(path.partition("node_modules/")[2], each["version"]) for path, each in locked.items() if path}
    assert {(each["name"], each["version"]) for each in listed["components"]} == wanted
    assert all(each["hashes"] for each in listed["components"])
    assert (listed["bomFormat"], listed["metadata"]["component"]["name"]) == ("CycloneDX", "dashboard-page")


@pytest.mark.slow
def test_the_list_of_the_servers_parts_names_what_its_wheel_is_installed_with(
    dist: Path, tmp_path: Path, version: str
) -> None:
    packages = re.split(r"\n(?=\S)", (ROOT / release.IMAGE_LOCK).read_text())
    chosen = [each for each in packages if re.match(r"(click|itsdangerous)==", each)]
    lock = tmp_path / "two.lock"
    lock.write_text("\n".join(chosen))
    for path in dist.glob("*.whl"):
        shutil.copy(path, tmp_path)

    release.list_python_parts(ROOT, lock, tmp_path, version)

    listed = json.loads((tmp_path / f"dashboard-realtime-{version}.python.cdx.json").read_text())
    names = {each["name"]: each for each in listed["components"]}
    assert set(names) == {"click", "itsdangerous"}
    assert names["click"]["purl"].startswith("pkg:pypi/click@")
    assert names["click"]["licenses"]
    assert listed["metadata"]["component"]["name"] == "dashboard-realtime"
    assert "serialNumber" not in listed
    assert "timestamp" not in listed["metadata"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the files that name the version."""
    for name in [*release.PLACES, "CHANGELOG.md"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_every_file_names_the_same_version_and_the_changelog_begins_with_it(project: Path) -> None:
    assert release.problems(ROOT) == []


def test_a_new_version_is_set_in_every_file_and_wants_a_section_of_the_changelog(project: Path) -> None:
    release.set_version(project, "0.9.0rc1")

    assert set(map(frozenset, release.versions(project).values())) == {frozenset({"0.9.0rc1"})}
    assert release.problems(project) == ["the first section of CHANGELOG.md is not `## [0.9.0rc1] - YYYY-MM-DD`"]
    changelog = project / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("## [0.2.0]", "## [0.9.0rc1] - 2027-01-01\n\n## [0.2.0]", 1))
    assert release.problems(project) == []


def test_a_file_that_names_another_version_is_reported(project: Path) -> None:
    manifest = project / "clients" / "js" / "package.json"
    manifest.write_text(manifest.read_text().replace('"version": "', '"version": "7.'))

    assert release.problems(project) == ["clients/js/package.json names no version"]


def test_a_malformed_version_is_refused(project: Path) -> None:
    with pytest.raises(SystemExit, match=r"'v1' is not like 0\.3\.0"):
        release.set_version(project, "v1")
