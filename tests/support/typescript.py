"""The TypeScript example without the package, compiled from a copy."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.support import document_tools
from tests.support.node import CACHE, ROOT, one_at_a_time
from tests.support.project_files import project_files

EXAMPLES = ROOT / "docs" / "examples"


def compile_copy(folder: Path, present: str = "", other: str = "", *options: str) -> "subprocess.CompletedProcess[str]":
    """Compile a copy of the example in `folder` with `present` replaced by `other` in its client."""
    place = _place(folder)
    shutil.copytree(EXAMPLES / "without-package", place, ignore=shutil.ignore_patterns("build", "node_modules"))
    shutil.copytree(document_tools.TYPES, folder / "docs" / "types")
    shutil.copyfile(EXAMPLES / "package.json", place.parent / "package.json")
    (place.parent / "node_modules").symlink_to(document_tools.modules())
    client = place / "client.ts"
    text = client.read_text(encoding="utf-8")
    assert present in text
    client.write_text(text.replace(present, other, 1) if present else text, encoding="utf-8")
    return document_tools.run("tsc", "--project", place, *options, cwd=folder)


def edited(folder: Path, present: str, other: str) -> Path:
    """The program to run with Node, with `present` replaced by `other` in its compiled client."""
    shutil.copytree(compiled_once().parent, _main(folder).parent)
    shutil.copyfile(EXAMPLES / "package.json", _place(folder).parent / "package.json")
    (_place(folder).parent / "node_modules").symlink_to(document_tools.modules())
    client = _main(folder).with_name("client.js")
    text = client.read_text(encoding="utf-8")
    assert present in text
    client.write_text(text.replace(present, other, 1), encoding="utf-8")
    return _main(folder)


def compiled_once() -> Path:
    """The program of the unchanged example, compiled at the first use.

    The declarations it uses are checked with those of the package (tests/clients/test_js_package.py).
    """
    sources = [*project_files(EXAMPLES / "without-package", "*"), *project_files(document_tools.TYPES, "*")]
    sources += [EXAMPLES / "package.json", document_tools.SOURCES / "lock.json"]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    folder = CACHE / f"typescript-{digest}"
    with one_at_a_time(folder):
        if not _main(folder).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            done = compile_copy(folder, "", "", "--skipLibCheck")
            assert done.returncode == 0, done.stdout
    return _main(folder)


def _main(folder: Path) -> Path:
    return _place(folder) / "build" / "main.js"


def _place(folder: Path) -> Path:
    return folder / "docs" / "examples" / "without-package"
