"""docs/security.md and the lock file match the code."""

import re
import tomllib
from pathlib import Path

import pytest

from app.config import Config

ROOT = Path(__file__).parents[2]


def test_each_runtime_dependency_is_listed_with_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.match(r"[A-Za-z0-9-]+", line).group() for line in project["dependencies"]}
    section = (ROOT / "docs" / "security.md").read_text(encoding="utf-8").partition("## What it is built on")[2]

    assert set(re.findall(r"^\| ([A-Za-z0-9-]+) \| \w", section, re.MULTILINE)) - {"package"} == declared


def test_every_setting_named_in_the_document_exists() -> None:
    settings = {field.metadata["env"] for field in Config.__dataclass_fields__.values()}
    named = re.findall(r"`(DASHBOARD_[A-Z_]+[A-Z])[`=]", (ROOT / "docs" / "security.md").read_text(encoding="utf-8"))

    assert named
    assert set(named) <= settings


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-run.lock"])
def test_every_locked_package_has_a_hash(name: str) -> None:
    locked = (ROOT / name).read_text(encoding="utf-8")
    packages = re.split(r"\n(?=[A-Za-z0-9])", locked.strip())

    assert len(packages) > 50
    assert all("--hash=sha256:" in package for package in packages)
