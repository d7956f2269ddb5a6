"""The project's own files, without installed or built ones such as `node_modules`."""

import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IGNORED = {"node_modules", "__pycache__", "build", "dist", "venv", "env", "artifacts", "vendor"}


def project_files(folder: Path, *patterns: str) -> list[Path]:
    """The files below `folder` whose name matches a pattern, sorted; without hidden and installed folders."""
    return sorted(path for path in _walk(folder) if any(fnmatch(path.name, pattern) for pattern in patterns))


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        # A worktree or a clone inside the project has a `.git` of its own.
        folders[:] = [name for name in folders if is_ours(name) and not (Path(place) / name / ".git").exists()]
        yield from (Path(place) / name for name in names)


def is_ours(folder_name: str) -> bool:
    return not folder_name.startswith(".") and folder_name not in IGNORED and not folder_name.endswith(".egg-info")
