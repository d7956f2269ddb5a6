"""A case: one subject, as a YAML file of steps."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "cases"
MEMBERS = {"title", "role", "transports", "room", "steps"}
ROLES, TRANSPORTS = ("room", "agent"), ("socketio", "sse")
Step = tuple[str, Any]


@dataclass(frozen=True)
class Case:
    """`room`: the members of Room that differ from its defaults; `changes` in it are made before the client starts."""

    name: str
    title: str
    role: str
    transports: tuple[str, ...]
    room: dict[str, Any]
    steps: tuple[Step, ...]


class CaseError(ValueError):
    """A case file is not valid."""


def load(paths: Iterable[Path] | None = None) -> list[Case]:
    """All cases, or those of these files. Raises CaseError."""
    return [_load(path) for path in sorted(paths or FOLDER.glob("*.yaml"))]


def _load(path: Path) -> Case:
    read = yaml.safe_load(path.read_text(encoding="utf-8"))
    if unknown := set(read) - MEMBERS:
        raise CaseError(f"{path.name}: unknown members {sorted(unknown)}; known are {sorted(MEMBERS)}")
    role = read.get("role", "room")
    transports = tuple(read.get("transports", ["socketio"]))
    if role not in ROLES or not set(transports) <= set(TRANSPORTS):
        raise CaseError(f"{path.name}: the role is one of {ROLES}, transports are of {TRANSPORTS}")
    steps = tuple(_step(path, each) for each in read["steps"])
    return Case(path.stem, read["title"], role, transports, read.get("room", {}), steps)


def _step(path: Path, step: Any) -> Step:
    if isinstance(step, str):
        return step, None
    if not isinstance(step, dict) or len(step) != 1:
        raise CaseError(f"{path.name}: a step is a name, or a name with an argument, not {step!r}")
    [(name, argument)] = step.items()
    return name, argument
