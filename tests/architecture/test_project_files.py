"""Installed and built files inside a clone are not checked as project files."""

import re
from pathlib import Path

import pytest

from tests.support.project_files import ROOT, project_files

WALK = re.compile(r"(?:ROOT|EXAMPLES|DOCS)\b[^\n]*\.(?:rglob|walk|glob\([\"']\*\*)")
THIS, HELPER = Path(__file__).name, "project_files.py"


@pytest.mark.parametrize(
    "folder",
    [
        "docs/examples/node_modules/ws", ".venv/lib", ".cache/npm", "docs/__pycache__", ".worktrees/other/docs",
        "docs/examples/dashboard-ts/build", "x.egg-info",
    ],
)  # fmt: skip
def test_installed_and_built_files_are_ignored(tmp_path: Path, folder: str) -> None:
    for name in (folder, "docs/examples"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "README.md").touch()

    assert project_files(tmp_path, "*.md") == [tmp_path / "docs" / "examples" / "README.md"]


def test_a_worktree_inside_the_clone_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".git").write_text("gitdir: elsewhere")
    (tmp_path / "other" / "README.md").touch()

    assert project_files(tmp_path, "*.md") == []


def test_every_test_walks_the_project_through_project_files() -> None:
    tests = [path for path in project_files(ROOT / "tests", "*.py") if path.name not in (THIS, HELPER)]

    assert len(tests) > 100
    assert [path.name for path in tests if WALK.search(path.read_text(encoding="utf-8"))] == []
