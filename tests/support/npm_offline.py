"""Replaces `npm install` in the commands of a page: links the packages of `package.json` at the suite's pins.

    python npm_offline.py MODULES install [--silent] --prefix FOLDER

It fails if a listed package is not pinned or its pin is outside the listed range, so a package that the list lacks is
missing when the example is built or run. A package that is listed as `file:FOLDER` is copied from there.
"""

import json
import shutil
import sys
from pathlib import Path


def install(modules: Path, folder: Path) -> None:
    listed: dict[str, str] = json.loads((folder / "package.json").read_text(encoding="utf-8"))["dependencies"]
    target = folder / "node_modules"
    shutil.rmtree(target, ignore_errors=True)
    (target / ".bin").mkdir(parents=True, exist_ok=True)
    for name, wanted in listed.items():
        (target / name).parent.mkdir(exist_ok=True)
        if wanted.startswith("file:"):
            shutil.copytree(folder / wanted.removeprefix("file:"), target / name)
            continue
        manifest = json.loads((modules / name / "package.json").read_text(encoding="utf-8"))
        if not fits(manifest["version"], wanted):
            raise SystemExit(f"{name} {wanted} is listed, {manifest['version']} is pinned")
        (target / name).symlink_to(modules / name)
        commands = manifest.get("bin", {})
        for command, script in commands.items() if isinstance(commands, dict) else ():
            (target / ".bin" / command).symlink_to(modules / name / script)


def fits(version: str, wanted: str) -> bool:
    """Whether `version` is in a caret range, e.g. `^4.8.0`."""
    have, least = (tuple(int(part) for part in each.split(".")) for each in (version, wanted.removeprefix("^")))
    return wanted.startswith("^") and have[0] == least[0] and have >= least


if __name__ == "__main__":
    place, action, *options = sys.argv[1:]
    if action != "install" or "--prefix" not in options:
        raise SystemExit(f"only `npm install --prefix FOLDER` is supported, not {sys.argv[2:]}")
    install(Path(place), Path(options[options.index("--prefix") + 1]))
